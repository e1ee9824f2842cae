// Training from photographs that are dropped in: start, watch, stop, go on.

import { ask, figure, make, offer, refresh, showFault, valuesOf, wait } from "/page/app.js";
import { paintWith } from "/page/paint.js";

const form = document.getElementById("train-form"), place = document.getElementById("trainings");
const thumbs = document.getElementById("thumbs"), drop = document.getElementById("drop");
const input = document.getElementById("photos");
let set = null, configs = null, shown = null, turn = 0, samplesShown = "";

export function setUpTraining() {
  form.addEventListener("submit", event => { event.preventDefault(); start(); });
  input.addEventListener("change", () => { add([...input.files]); input.value = ""; });
  for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, () => drop.classList.add("over"));
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  form.elements.config.addEventListener("change", describe);
}

export async function showTrainings() {
  if (configs === null) {
    configs = [];
    try {
      configs = await ask("/api/configs");
      form.elements.config.replaceChildren(...configs.map(each => make("option", { textContent: each.name })));
      form.elements.config.disabled = false;
      describe();
    } catch (fault) { configs = null; showFault(form, fault); }
  }
  await refresh().catch(() => {});
  if (shown === null && offer.trainings?.length) watch(offer.trainings[0]);
}

function describe() {
  const config = configs.find(each => each.name === form.elements.config.value);
  if (!config) return;
  document.getElementById("summary").textContent = `${config.summary} Begins with ${config.base}.`;
  for (const name of ["word", "iterations", "learning_rate", "seed"]) form.elements[name].value = config[name];
}

async function add(files) {
  showFault(form, null);
  const faults = [];
  for (const file of files) {
    try {
      if (file.size > offer.limits.bytes)
        throw { message: `${file.name} has ${file.size} bytes; allowed: ${offer.limits.bytes} at most` };
      const photo = await renewed(() => send(file));
      thumbs.append(thumb(file, photo.name));
    } catch (fault) { faults.push(fault.message); }
  }
  if (faults.length) showFault(form, { field: "photos", message: faults.join("\n") });
}

async function send(file) {
  set ??= (await ask("/api/photos", {})).photos;
  return ask(`/api/photos/${set}?name=${encodeURIComponent(file.name)}`, file, true);
}

/** Does something with the photographs; an app that was started anew has none, and gets them again before that. */
async function renewed(work) {
  try { return await work(); } catch (fault) { if (fault.field !== "photo set") throw fault; }
  set = null;
  for (const item of thumbs.children) item.name = (await send(item.file)).name;
  return work();
}

function thumb(file, name) {
  const url = URL.createObjectURL(file);
  const remove = make("button", { type: "button", textContent: "✕" });
  remove.setAttribute("aria-label", `Remove ${file.name}`);
  const item = make("li", { file, name }, make("img", { src: url, alt: file.name, title: file.name }), remove);
  remove.addEventListener("click", async () => {
    await ask(`/api/photos/${set}/${item.name}/remove`, {}).catch(() => {});
    URL.revokeObjectURL(url);
    item.remove();
  });
  return item;
}

async function start() {
  showFault(form, null);
  const button = document.getElementById("train");
  button.disabled = true;
  try {
    const { training } = await renewed(() => ask("/api/trainings", { ...valuesOf(form), photos: set ?? "" }));
    watch(training);
  } catch (fault) { showFault(form, fault); } finally { button.disabled = false; }
}

/** Shows a training, and follows it for as long as it goes on. */
async function watch(name) {
  const mine = ++turn;
  shown = name;
  samplesShown = "";
  while (turn === mine) {
    let found;
    try { found = await ask(`/api/trainings/${name}`); } catch (fault) {
      if (fault.field) { place.replaceChildren(make("p", { className: "error", textContent: fault.message })); return; }
      await wait(2000);
      continue;
    }
    if (turn !== mine) return;
    show(found);
    if (!["starting", "running", "stopping"].includes(found.state)) { await refresh().catch(() => {}); pick(name); return; }
    await wait(1000);
  }
}

function show(found) {
  let view = place.querySelector(".training");
  if (!view || view.dataset.name !== found.name) {
    view = make("div", { className: "training" });
    view.dataset.name = found.name;
    view.append(...["picker", "title", "now", "losses", "samples", "more"].map(part => make("div", { className: part })));
    view.querySelector(".more").append(
      make("details", {}, make("summary", { textContent: "What it prints" }), make("pre")),
      make("details", {}, make("summary", { textContent: "On the command line" }), make("pre")));
    place.replaceChildren(view);
    pick(found.name);
  }
  const part = kind => view.querySelector(`.${kind}`);
  part("title").replaceChildren(...head(found));
  part("now").replaceChildren(...now(found));
  part("losses").replaceChildren(...chart(found.losses));
  showSamples(part("samples"), found);
  const [log, command] = view.querySelectorAll("pre");
  log.textContent = found.log.join("\n");
  command.textContent = found.command;
}

/** The list of trainings, where there are several. */
function pick(name) {
  const at = place.querySelector(".picker");
  const names = [...new Set([name, ...(offer.trainings ?? [])])];
  if (!at || names.length < 2) return;
  const select = make("select", {}, ...names.map(each => make("option", { textContent: each })));
  select.addEventListener("change", () => watch(select.value));
  at.replaceChildren(make("label", {}, "Training", select));
}

function head(found) {
  const parts = [make("div", { className: "grow" }, make("h2", { textContent: found.name }),
    make("span", { className: "soft", textContent: `${found.config}, “${found.subject}”, ${found.photos} photos` })),
    make("span", { className: `state ${found.state}`, textContent: found.state })];
  const act = (text, action) => {
    const button = make("button", { type: "button", textContent: text, id: `training-${action}` });
    button.addEventListener("click", async () => {
      button.disabled = true;
      try { await ask(`/api/trainings/${found.name}/${action}`, {}); watch(found.name); }
      catch (fault) { showFault(form, fault); button.disabled = false; }
    });
    return button;
  };
  if (["starting", "running"].includes(found.state)) parts.push(act("Stop", "stop"));
  if (["stopped", "failed"].includes(found.state)) parts.push(act("Resume", "resume"));
  if (found.steps.length && !["running", "stopping"].includes(found.state)) {
    const use = make("button", { type: "button", textContent: "Paint with it", id: "training-use" });
    use.addEventListener("click", () => paintWith(found.steps[0].name, found.samples.at(-1)?.prompt));
    parts.push(use);
  }
  const line = make("div", { className: "head" }, ...parts);
  return [line];
}

function now(found) {
  const words = [`iteration ${found.iteration} of ${found.iterations}`];
  if (found.losses.length) words.push(`loss ${found.losses.at(-1)[1].toPrecision(3)}`);
  if (found.seconds_left !== null) words.push(`about ${span(found.seconds_left)} left`);
  const bar = make("progress", { max: found.iterations });
  if (found.state !== "starting") bar.value = found.iteration;
  const doing = found.state === "starting" ? found.log.at(-1) : null;
  return [make("p", { textContent: words.join(" · ") }), bar,
          ...(doing ? [make("p", { className: "soft doing", textContent: doing })] : []),
          ...(found.error ? [make("p", { className: "error", textContent: found.error })] : [])];
}

function span(seconds) {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min`
    : `${(seconds / 3600).toFixed(1)} h`;
}

function chart(losses) {
  if (losses.length < 2) return [];
  const name = "http://www.w3.org/2000/svg", svg = document.createElementNS(name, "svg");
  const values = losses.map(each => each[1]), low = Math.min(...values), high = Math.max(...values);
  const [first, last] = [losses[0][0], losses.at(-1)[0]];
  const point = ([step, loss]) =>
    `${(100 * (step - first) / (last - first || 1)).toFixed(2)},${(38 - 36 * (loss - low) / (high - low || 1)).toFixed(2)}`;
  svg.setAttribute("viewBox", "0 0 100 40");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "chart");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Loss from ${losses[0][1].toPrecision(3)} to ${losses.at(-1)[1].toPrecision(3)}`);
  const line = document.createElementNS(name, "polyline");
  line.setAttribute("points", losses.map(point).join(" "));
  svg.append(line);
  return [make("h3", { textContent: `Loss, ${low.toPrecision(3)} to ${high.toPrecision(3)}` }), svg];
}

function showSamples(at, found) {
  const mark = found.samples.map(sample => sample.file).join();
  if (mark === samplesShown && at.children.length) return;
  samplesShown = mark;
  if (!found.samples.length) { at.replaceChildren(); return; }
  const prompts = [...new Set(found.samples.map(sample => sample.prompt))];
  at.replaceChildren(...prompts.flatMap(prompt => [make("h3", { textContent: prompt }), make("div", { className: "strip" },
    ...found.samples.filter(sample => sample.prompt === prompt).map(sample => figure(
      `/samples/${found.name}/${sample.file}`, sample.step ? `after ${sample.step}` : "before")))]));
}
