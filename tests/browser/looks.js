// What test_looks.py asks of a page: a panel in it, and what is wrong with how it looks at each of its steps.

import { player } from "/player.js";

let view, root, cards;

// Where something stands, as plain numbers: reading those of a DOMRect a million times takes long.
function place(el) {
  const { left, right, top, bottom, width, height } = el.getBoundingClientRect();
  return { left, right, top, bottom, width, height };
}

export const log = { answers: [], picks: [] };                 // what the player has told

export function mount(scene, theme, predict = false) {
  view?.destroy();
  const wrap = document.createElement("div");
  root = document.createElement("section");
  wrap.className = "kvmwrap";
  wrap.append(root);
  document.body.replaceChildren(wrap);
  root.dataset.theme = theme;
  log.answers = []; log.picks = [];
  view = player(root, scene, { predict, onAnswer: (t, choice) => log.answers.push([t, choice]), onPick: (part) => log.picks.push(part) });
  cards = all(".stage .c").map((el) => [el, place(el)]);
  return view.count;
}

const all = (selector) => [...root.querySelectorAll(selector)];
const isDrawn = (el) => el.namespaceURI.endsWith("svg");

function visible(el) {
  if (!el.textContent.trim() || !el.getClientRects().length) return false;
  return getComputedStyle(el).visibility !== "hidden";
}

// Every piece of text, with its box on the screen; the log and the source line may be cut off and are not looked at.
function texts() {
  return all("svg text, .chip, .label, .fn, .ctl button, .ctl select, .n, .title, .why").filter((el) => isDrawn(el) ? visible(el) : el.offsetParent)
    .map((el) => [el, place(el)]).filter(([, box]) => box.width > 0).sort((a, b) => a[1].top - b[1].top);
}

// The frame that a text has to stay in: that of its card, its table or its zone.
function frame(el) {
  if (el.classList.contains("zn")) return el.parentNode.querySelector(":scope > .zc");
  for (let at = el.parentNode; at !== el.ownerSVGElement; at = at.parentNode) {
    const found = at.querySelector(":scope > :is(.c, .tb, .box)");
    if (found) return found;
  }
  return el.ownerSVGElement;
}

const words = (el) => el.textContent.trim().slice(0, 40);

function problems() {
  const found = [], boxes = texts(), range = document.createRange();
  boxes.forEach(([el, a], i) => {
    for (let j = i + 1; j < boxes.length && boxes[j][1].top < a.bottom; j++) {
      const b = boxes[j][1], least = Math.min(a.height, b.height);
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left), down = Math.min(a.bottom, b.bottom) - b.top;
      if (across > 0.5 && down > least * 0.28) found.push(`"${words(el)}" and "${words(boxes[j][0])}" overlap`);
    }
    if (isDrawn(el)) {
      const b = frame(el).getBoundingClientRect(), slack = 0.5 + (frame(el).localName === "svg" ? 0 : a.height * 0.15);
      const score = el.closest(".score") ? 8 : 0;           // the panel's own padding
      if (a.left < b.left - 0.5 - score || a.right > b.right + 0.5) found.push(`"${words(el)}" is wider than its frame`);
      if (!score && frame(el).localName !== "svg" && (a.top < b.top - slack || a.bottom > b.bottom + slack)) found.push(`"${words(el)}" is higher than its frame`);
    } else if (el.matches(".title, .why, .fn")) {
      range.selectNodeContents(el);
      const b = range.getBoundingClientRect();
      if (b.top < a.top - 3 || b.bottom > a.bottom + 3 || b.right > a.right + 1) found.push(`"${words(el)}" is cut off`);
    }
  });
  const shown = cards.filter(([card]) => !card.closest(".off"));
  for (const [el, a] of boxes) if (el.closest(".stage")) for (const [card, b] of shown) {
    const deep = a.height * 0.28;
    if (a.left < b.right - 1 && a.right > b.left + 1 && a.top < b.bottom - deep && a.bottom > b.top + deep
      && !card.parentNode.contains(el)) found.push(`"${words(el)}" lies on a card that is not its own`);
  }
  for (const svg of all(".stage > svg, .score > svg")) {
    const outer = svg.parentNode.getBoundingClientRect();
    for (const [el, box] of boxes) if (el.ownerSVGElement === svg && box.bottom > outer.bottom + 1) found.push(`"${words(el)}" hangs out of the ${svg.parentNode.className}`);
  }
  if (document.documentElement.scrollWidth > innerWidth) found.push("the page is wider than the window");
  return found;
}

// Where everything that is not a word stands; it must be the same at every step.
function places() {
  return all(".say, .who, .ctl, .title, .why, .score, .stage, .log, .src, .stage :is(rect, path)")
    .map((el) => { const { x, y, width, height } = el.getBoundingClientRect(); return [x, y, width, height].map(Math.round).join(); }).join(" ");
}

export function walk(steps) {
  const found = {}, where = new Set();
  const smallest = { any: [99, ""], head: [99, ""] };
  for (const step of steps) {
    view.show(step);
    root.dataset.theme = step % 2 ? "dark" : "light";         // by turns: a theme has nothing to say about places
    for (const one of problems()) found[one] ??= step;
    where.add(places());
    for (const el of all(".stage text, .score text").filter(visible)) {
      const size = parseFloat(getComputedStyle(el).fontSize) * Math.abs(el.getScreenCTM().a);
      const kind = el.matches(".th, .refs") ? "head" : "any";
      if (size < smallest[kind][0]) smallest[kind] = [size, words(el)];
    }
  }
  return { found, places: where.size, smallest };
}

// The markup at each step, reached by stepping on; then the steps at which jumping there gives another markup.
export function scrub(steps) {
  const markup = () => root.querySelector(".stage").innerHTML + root.querySelector(".score svg").innerHTML + root.querySelector(".say").innerHTML
    + root.querySelector(".log").innerHTML;
  const stepped = [], pictures = new Set();
  for (let t = 0; t < view.count; t++) { view.show(t); stepped.push(markup()); pictures.add(root.querySelector(".stage").innerHTML); }
  return { pictures: pictures.size, wrong: steps.filter((t) => { view.show(t); return markup() !== stepped[t]; }) };
}

const numbers = (colour) => (colour.match(/[\d.]+/g) || []).map(Number);
function solid(colour) { const [r, g, b, a = 1] = numbers(colour); return colour.startsWith("rgb") && a > 0 ? [r, g, b] : null; }

// The colour under the middle of a text: of the first thing there, from the top, that has one.
function ground(el, x, y) {
  const layers = document.elementsFromPoint(x, y);
  if (!isDrawn(el) && !layers.includes(el)) return null;    // something lies over it, such as the help
  for (const under of layers) {
    if (under.localName === "text" || under.localName === "svg" || under.localName === "input") continue;
    if (isDrawn(under) && under === el) continue;
    const style = getComputedStyle(under);
    const colour = solid(isDrawn(under) ? style.fill : style.backgroundColor);
    if (colour && style.visibility !== "hidden") return colour;
  }
  return solid(getComputedStyle(root).backgroundColor);
}

function middle(el) {
  const box = el.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
}

// Pairs of text colour and ground colour, each with a text that wears them.
export function colours(steps) {
  const pairs = {};
  for (const step of steps) {
    view.show(step);
    for (const el of all("svg text, .title, .why span, .fn, .label, .chip, .log span, .log b, .src span, .n, .ctl button:not([disabled]), .ctl select").filter(visible)) {
      const style = getComputedStyle(el), under = ground(el, ...middle(el));
      if (under) pairs[`${solid(isDrawn(el) ? style.fill : style.color)} on ${under}`] ??= words(el);
    }
  }
  return pairs;
}

// What is wrong with how the player's own words look: one may miss none, and none may leave the panel or hide another.
function wrongWith(selector) {
  const found = [], panel = place(root), range = document.createRange(), seen = all(selector).filter((el) => el.offsetParent);
  for (const el of seen) {
    const box = place(el);
    range.selectNodeContents(el);
    const inner = el.localName === "select" ? box : range.getBoundingClientRect();
    if (box.left < panel.left || box.right > panel.right || box.top < panel.top || box.bottom > panel.bottom) found.push(`"${words(el)}" leaves the panel`);
    if (inner.right > box.right + 1 || inner.bottom > box.bottom + 3 || inner.top < box.top - 3 || el.scrollWidth > el.clientWidth + 1) found.push(`"${words(el)}" is cut off`);
    for (const other of seen) if (other !== el && !other.contains(el) && !el.contains(other)) {
      const b = place(other), across = Math.min(box.right, b.right) - Math.max(box.left, b.left), down = Math.min(box.bottom, b.bottom) - Math.max(box.top, b.top);
      if (across > 1 && down > 3) found.push(`"${words(el)}" and "${words(other)}" overlap`);
    }
    const on = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
    if (!root.contains(on)) found.push(`"${words(el)}" is outside of the window`);
    else if (!el.contains(on) && !on.contains(el)) found.push(`"${words(el)}" lies under "${words(on)}"`);
  }
  return found;
}

const OWN = ".ctl :is(button, select, .n), .chip, .label, .fn, .title, .why, .lost, .asked :is(p, button), .asked .pair div";

// The controls and who acts, at some steps; the controls have to stand in so many rows at most.
export function controlsAt(steps, most) {
  const found = {};
  for (const step of steps) {
    view.show(step);
    for (const one of wrongWith(OWN)) found[one] ??= step;
    const rows = new Set(all(".ctl > *").map((el) => { const box = place(el); return Math.round((box.top + box.bottom) / 20); }));
    if (rows.size > most) found[`${rows.size} rows of controls`] ??= step;
  }
  return found;
}

// The colours of the notice that the kernel is gone.
export function lost() {
  const el = root.querySelector(".lost"), under = el.offsetParent && solid(getComputedStyle(el).backgroundColor);
  return { [`${solid(getComputedStyle(el).color)} on ${under ?? "0,0,0,0"}`]: words(el) };
}

// How high the question before a step is.
export function questionHeight(step) {
  view.show(step - 1);
  press("ArrowRight");
  return place(root.querySelector(".asked")).height;
}

const press = (key) => root.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));

// The question before each of these steps, and what is said to a wrong answer: what is wrong, and what colours are met.
export function questions(steps, choices, wrong) {
  const found = {}, pairs = {};
  steps.forEach((step, i) => {
    view.show(step - 1);
    press("ArrowRight");
    const shown = all(".asked .choices button").filter((el) => el.offsetParent).length;
    if (shown !== choices[i] + 1) found[`${shown} of ${choices[i]} choices and a way to skip`] ??= step;
    const look = () => {
      for (const one of wrongWith(OWN)) found[one] ??= step;
      for (const el of all(".asked p, .asked b, .asked button, .asked span, .asked kbd, .asked .pair div")) {
        const under = ground(el, ...middle(el));
        if (under) pairs[`${solid(getComputedStyle(el).color)} on ${under}`] ??= words(el);
      }
    };
    look();
    press(String(wrong[i] + 1));
    if (!all(".asked .did").some((el) => el.offsetParent)) found["nothing is said to the answer"] ??= step;
    look();
  });
  return { found, pairs };
}

export const show = (step) => view.show(step);
export const at = () => view.step;
export const lose = (on) => view.lose(on);

// The longest time, in seconds, that anything takes to change when one goes to a step.
export function change(step) {
  view.show(0);
  view.show(step);
  const times = [root, ...all("*")].flatMap((el) => getComputedStyle(el).transitionDuration.split(",").map(parseFloat));
  return Math.max(...times) + root.getAnimations({ subtree: true }).filter((one) => one instanceof CSSAnimation).length;
}

const named = (el) => (el === root ? "panel" : el.dataset.p ?? el.dataset.pick ?? "slider");
export const controls = () => [root, ...all("button:not([disabled]), select, input, a[href], [tabindex='0']").filter((el) => isDrawn(el) ? visible(el) : el.offsetParent)].map(named);

// What has the focus, the colour of the ring that says so, and what the ring lies on.
export function focus() {
  const el = document.activeElement, style = getComputedStyle(el.matches("input") ? el.parentNode : el);
  const ring = parseFloat(style.outlineWidth) >= 2 && style.outlineStyle !== "none" ? style.outlineColor : /rgb[^)]*\)(?=.* [2-9]px inset)/.exec(style.boxShadow)?.[0];
  return [named(el), ring ? `${solid(ring)}` : null, `${solid(getComputedStyle(root).backgroundColor)}`];
}
