// Tabs, what the app offers, and how the page talks to it.

import { setUpPainting, setMode } from "/page/paint.js";
import { setUpTraining, showTrainings } from "/page/train.js";

/** What can be chosen; refreshed when a training has made something new. */
export const offer = { bases: [], steps: [] };
const watchers = [];

/** Calls a function now and whenever the offer has changed. */
export function onOffer(watcher) { watchers.push(watcher); watcher(); }

/** Asks the app; an answer that is a fault is thrown with its field and message. */
export async function ask(path, values, raw) {
  const options = values === undefined ? {} : {
    method: "POST", headers: { "X-Diffkit": "1" }, body: raw ? values : JSON.stringify(values) };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    document.getElementById("lost").hidden = false;
    throw { field: "", message: "The app does not answer." };
  }
  document.getElementById("lost").hidden = true;
  const found = await answer.json().catch(() => null);
  if (!answer.ok || found === null) throw found?.error ?? { field: "", message: `status ${answer.status}` };
  return found;  // a training has an "error" of its own, which is no fault of the question
}

/** Makes an element with properties and children. */
export function make(kind, properties = {}, ...children) {
  const element = Object.assign(document.createElement(kind), properties);
  element.append(...children.filter(child => child !== null));
  return element;
}

/** Shows a fault at the end of a form and marks its field; without one, takes it away. */
export function showFault(form, fault) {
  const place = form.querySelector(":scope > .error");
  for (const marked of form.querySelectorAll("[aria-invalid]")) marked.removeAttribute("aria-invalid");
  place.hidden = !fault;
  place.textContent = "";
  if (!fault) return;
  const name = fault.field && fault.field !== "request" ? fault.field : "";
  place.textContent = name ? `${name[0].toUpperCase()}${name.slice(1)}: ${fault.message}` : fault.message ?? `${fault}`;
  const fields = [...form.querySelectorAll(`[data-field="${CSS.escape(name)}"]`)].filter(each => !each.hidden);
  const field = fields.at(-1);  // the path of another folder comes after the list
  if (field) {
    field.closest("details")?.setAttribute("open", "");
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }
  place.scrollIntoView({ block: "nearest" });
}

/** The values of a form's own named fields. */
export function valuesOf(form) {
  const values = {};
  for (const field of form.elements) if (field.name) values[field.name] = field.value.replace(/\s+/g, " ").trim();
  return values;
}

/** A picture that opens large; small ones keep their pixels. */
export function figure(source, caption) {
  const image = make("img", { src: source, alt: caption, loading: "lazy", tabIndex: 0, role: "button" });
  image.addEventListener("load", () => image.classList.toggle("pixels", image.naturalWidth <= 128));
  image.addEventListener("click", () => enlarge(image, caption));
  image.addEventListener("keydown", event => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); enlarge(image, caption); }
  });
  return make("figure", {}, image, make("figcaption", { textContent: caption }));
}

function enlarge(image, caption) {
  const dialog = document.getElementById("large");
  const large = dialog.querySelector("img");
  large.src = image.src;
  large.alt = caption;
  large.className = image.className;
  dialog.querySelector("p").textContent = caption;
  dialog.showModal();
}

export const wait = milliseconds => new Promise(done => setTimeout(done, milliseconds));

/** Reads what can be chosen. */
export async function refresh() {
  Object.assign(offer, await ask("/api/state"));
  document.getElementById("version").textContent = `diffkit ${offer.version}.`;
  document.getElementById("roots").textContent = `Folders: ${offer.roots.join(", ")}`;
  for (const watcher of watchers) watcher();
}

/** Shows one of the tabs. */
export function open(tab) {
  for (const button of document.querySelectorAll("[role=tab]"))
    button.setAttribute("aria-selected", String(button.dataset.tab === tab));
  document.getElementById("panel-paint").hidden = tab === "train";
  document.getElementById("panel-train").hidden = tab !== "train";
  document.getElementById("panel-paint").setAttribute("aria-labelledby", `tab-${tab === "train" ? "paint" : tab}`);
  if (tab === "train") showTrainings(); else setMode(tab);
}

for (const button of document.querySelectorAll("[role=tab]"))
  button.addEventListener("click", () => open(button.dataset.tab));
const dialog = document.getElementById("large");
dialog.addEventListener("click", event => { if (event.target.tagName !== "IMG") dialog.close(); });

await refresh().catch(() => {});
setUpPainting();
setUpTraining();
document.documentElement.dataset.ready = "yes";
