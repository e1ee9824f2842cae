// Painting with one model, and comparing two on the same noise.

import { ask, figure, make, open, refresh, showFault, valuesOf, wait } from "/page/app.js";
import { modelPicker } from "/page/models.js";

const form = document.getElementById("paint-form"), result = document.getElementById("result");
const cancel = document.getElementById("cancel"), button = document.getElementById("paint");
let mode = "paint", running = null, models = {};

export function setUpPainting() {
  models = { a: modelPicker(document.getElementById("model-a"), "Model", fitGuidance),
             b: modelPicker(document.getElementById("model-b"), "Model B") };
  form.addEventListener("submit", event => { event.preventDefault(); paint(); });
  cancel.addEventListener("click", () => running && ask(`/api/jobs/${running}/cancel`, {}).catch(() => {}));
  document.getElementById("dice").addEventListener("click", () => {
    form.elements.seed.value = Math.floor(Math.random() * 1e6);
  });
  setMode(mode);
}

export function setMode(chosen) {
  mode = chosen;
  const compare = mode === "compare";
  document.getElementById("model-b").hidden = !compare;
  models.a.rename(compare ? "Model A" : "Model");
  form.elements.columns.closest("label").hidden = compare;
  button.textContent = compare ? "Compare" : "Paint";
}

/** Paints with a step folder that a training has made. */
export async function paintWith(step, prompt) {
  await refresh().catch(() => {});  // it may be newer than the list
  models.a.useStep(step);
  if (prompt) form.elements.prompt.value = prompt;
  open("paint");
}

/** The miniatures want less guidance than other models; a value of the user's own stays. */
function fitGuidance(base) {
  const field = form.elements.guidance;
  if (["4", "7.5"].includes(field.value)) field.value = base.startsWith("mini-") || base === "auto" ? "4" : "7.5";
}

async function paint() {
  showFault(form, null);
  const values = valuesOf(form), compare = mode === "compare";
  const before = [...result.childNodes];  // come back where no new pictures come
  Object.assign(values, compare ? { a: models.a.read(), b: models.b.read() } : { model: models.a.read() });
  button.disabled = true;
  cancel.hidden = false;
  try {
    let job = await ask(compare ? "/api/compare" : "/api/paint", values);
    running = job.job;
    const bar = progress();
    while (["waiting", "running"].includes(job.state)) {
      bar.show(job);
      await wait(250);
      job = await ask(`/api/jobs/${running}`);
    }
    if (job.state === "failed") throw { field: "", message: job.error };
    if (job.state === "cancelled") result.replaceChildren(...before);
    else show(job, values, compare);
  } catch (fault) {
    result.replaceChildren(...before);
    showFault(form, fault);
  } finally {
    running = null;
    button.disabled = false;
    cancel.hidden = true;
  }
}

function progress() {
  const words = make("p", { className: "soft" }), bar = make("progress", { max: 1, value: 0 });
  result.replaceChildren(words, bar);
  if (matchMedia("(max-width: 52rem)").matches) result.scrollIntoView({ block: "nearest" });
  return { show(job) {
    words.textContent = job.ahead ? `waiting: ${job.ahead} before this one` : job.doing || "beginning";
    bar.value = job.share;
  } };
}

function show(job, values, compare) {
  const save = make("button", { type: "button", textContent: "Save", id: "save" });
  const saved = make("span", { className: "soft" });
  save.addEventListener("click", async () => {
    save.disabled = true;
    try {
      saved.textContent = `saved to ${(await ask(`/api/jobs/${job.job}/save`, {})).folder}`;
    } catch (fault) {
      save.disabled = false;
      saved.textContent = fault.message;
    }
  });
  const head = make("div", { className: "head" },
    make("div", { className: "grow" }, make("h2", { textContent: values.prompt }),
         make("span", { className: "soft", textContent: `${job.seconds.toFixed(1)} s ` }), saved),
    save, job.grid ? link(job, job.grid, "Grid") : null);
  const url = file => `/pictures/${job.job}/${file}`;
  const grid = make("div", { className: "pictures" });
  grid.style.setProperty("--columns", job.columns);
  const pictures = compare ? pairs(job.pictures) : job.pictures;
  grid.append(...pictures.map(each => figure(url(each.file), compare ? each.caption.split(", ").pop() : each.caption)));
  result.replaceChildren(head, ...(compare ? [sides(job.pictures)] : []), grid);
}

/** A link that shows all pictures as one. */
function link(job, file, text) {
  const anchor = make("a", { href: `/pictures/${job.job}/${file}`, target: "_blank", rel: "noopener" });
  anchor.append(make("button", { type: "button", textContent: text, tabIndex: -1 }));
  return anchor;
}

/** Pictures of A and B in turn. */
function pairs(pictures) {
  const half = pictures.length / 2;
  return pictures.slice(0, half).flatMap((picture, number) => [picture, pictures[half + number]]);
}

function sides(pictures) {
  const title = picture => picture.caption.slice(0, picture.caption.lastIndexOf(", "));
  return make("div", { className: "sides" }, make("span", { textContent: title(pictures[0]) }),
              make("span", { textContent: title(pictures[pictures.length / 2]) }));
}
