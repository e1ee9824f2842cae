// Choosing a model: a base, and any number of step folders with weights.

import { make, offer, onOffer } from "/page/app.js";

const OTHER = "other";

/** Fills a place with the fields of a model; `title` begins the names of its fields in messages. */
export function modelPicker(place, title, onBase = () => {}) {
  const heading = make("h2", { textContent: title });
  const base = choice(() => [{ name: offer.by_steps, label: "what the step folder was trained on" }, ...offer.bases]);
  const rows = make("div", { className: "rows" });
  const add = make("button", { type: "button", className: "plain", textContent: "+ Add a step folder" });
  place.append(heading, make("label", {}, "Base model", base.select), base.path, rows, make("div", {}, add));
  onOffer(base.fill);
  if (!base.value()) base.set("mini-sd");
  base.select.addEventListener("change", () => onBase(base.value()));
  add.addEventListener("click", () => addRow());
  rename(title);

  function addRow(path = "") {
    const step = choice(() => [{ name: "", label: "choose …" }, ...offer.steps]);
    const weight = make("input", { type: "number", step: "0.1", value: "1", min: "-4", max: "4" });
    const remove = make("button", { type: "button", textContent: "✕" });
    remove.setAttribute("aria-label", "Remove this step folder");
    const row = make("div", { className: "row" }, make("label", {}, "Step folder", step.select),
                     make("label", {}, "Weight", weight), remove, step.path);
    row.read = () => ({ path: step.value(), weight: weight.value });
    row.name = name => {
      step.name(`${name}, path`);
      weight.dataset.field = `${name}, weight`;
      weight.setAttribute("aria-label", weight.dataset.field);
    };
    remove.addEventListener("click", () => row.remove());
    rows.append(row);
    rename(heading.textContent);
    step.fill();
    onOffer(step.fill);
    if (path) step.set(path);
  }

  /** Names the fields as messages do, which count the step folders that are sent. */
  function rename(words) {
    heading.textContent = words;
    base.name(`${words}, base`);
    const [sent, empty] = [true, false].map(there => [...rows.children].filter(row => !!row.read().path === there));
    [...sent, ...empty].forEach((row, number) => row.name(`${words}, step folder ${number + 1}`));
    return sent;
  }

  return {
    rename,
    read: () => ({ steps: rename(heading.textContent).map(row => row.read()), base: base.value() }),
    useStep(path) { rows.replaceChildren(); addRow(path); base.set(offer.by_steps); },
  };
}

/** A list of names with a field for a folder that is not in it. */
function choice(names) {
  const select = make("select"), path = make("input", {
    className: "path", hidden: true, placeholder: "folder below one of the roots" });
  const name = words => {
    select.dataset.field = path.dataset.field = words;
    select.setAttribute("aria-label", words);
    path.setAttribute("aria-label", `${words}, folder`);
  };
  const set = value => {
    select.value = value;
    if (select.selectedIndex < 0) { select.value = OTHER; path.value = value; }
    path.hidden = select.value !== OTHER;
  };
  const fill = () => {
    const before = select.options.length ? (select.value === OTHER ? OTHER : select.value) : null;
    select.replaceChildren(...[...names(), { name: OTHER, label: "another folder …" }].map(
      each => make("option", { value: each.name, textContent: each.label })));
    if (before === null) set(names().find(each => each.name === "mini-sd") ? "mini-sd" : names()[0].name);
    else select.value = before;
  };
  select.addEventListener("change", () => { path.hidden = select.value !== OTHER; if (!path.hidden) path.focus(); });
  return { select, path, fill, set, name, value: () => select.value === OTHER ? path.value.trim() : select.value };
}
