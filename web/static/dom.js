// The few things done to the page: everything that comes from elsewhere becomes text, never markup.

export const find = (selector, within = document) => within.querySelector(selector);
export const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];

/** The element of a <template>, as a new one. */
export const cloned = (templateId) =>
  document.getElementById(templateId).content.firstElementChild.cloneNode(true);

/** Sets the text of an element, and touches the page only if it changes. */
export function setText(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

/** An element with attributes and children; texts stay texts. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A symbol of icons.svg, taken from one that the page has already. */
export function setIcon(element, name) {
  const use = find("use", element);
  const [file] = use.getAttribute("href").split("#");
  use.setAttribute("href", `${file}#${name}`);
}

/** Sets a bar to a percent, or makes it move to and fro for null. */
export function setBar(bar, percent) {
  if (percent === null) bar.removeAttribute("value");
  else bar.value = percent;
}

/** Calls `act` for events of this type on elements of this selector, also on those that are not there yet. */
export function on(type, selector, act, within = document) {
  within.addEventListener(type, (event) => {
    const target = event.target instanceof Element ? event.target.closest(selector) : null;
    if (target) act(event, target);
  });
}

/** `act`, but only once calls have ceased for so long. */
export function calmed(act, milliseconds) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(act, milliseconds, ...given);
  };
}
