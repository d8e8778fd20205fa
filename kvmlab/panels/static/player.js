// The player: shows a scene (one picture laid out once, and what changes in each step) and walks through it.
// No framework, no network, no state but the cursor. Used by the widget below and by any page that calls player().

const ICONS = {
  prev: "M2 2h2v12H2zM14 2v12L5 8z", back: "M12 2v12L3 8z", play: "M4 2l10 6-10 6z",
  pause: "M3 2h4v12H3zM9 2h4v12H9z", step: "M4 2v12l9-6z", next: "M12 2h2v12h-2zM2 2v12l9-6z",
};
const HELP = [["→ ↓", "one step on"], ["← ↑", "one step back"], ["Home End", "first and last step"],
  ["PgDn PgUp", "next and previous {jump}"], ["Space", "play or pause"], ["?", "show or hide this list"]];
const X0 = 106, X1 = 786, TOP = 15, LANE = 17;               // the score, in units of 800
const HOLD = 1800, HOLD_FAST = 90, FIRST = 500;              // milliseconds a step is held at speed 1
const SAVE = 150;                                            // milliseconds until the cursor is told to Python

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function draw(tag, attributes = {}, text = null) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== null) node.textContent = text;
  return node;
}

function button(name, label) {
  const svg = draw("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" });
  svg.append(draw("path", { d: ICONS[name] }));
  return make("button", { type: "button", "data-p": name, "aria-label": label, title: label, class: name === "play" ? "wide" : "" }, svg);
}

function shell() {
  const select = make("select", { "data-p": "speed", "aria-label": "speed" },
    ...[[0.5, "½×"], [1, "1×"], [2, "2×"], [4, "4×"]].map(([value, label]) => make("option", { value }, label)));
  select.value = "1";
  return [
    make("div", { class: "say" },
      make("div", { class: "who" }, make("span", { class: "chip", "data-p": "chip" }), make("code", { class: "fn", "data-p": "fn" })),
      make("div", { class: "ctl" }, button("prev", "previous"), button("back", "step back (left arrow)"), button("play", "play (space)"),
        button("step", "step (right arrow)"), button("next", "next"), select,
        make("button", { type: "button", "data-p": "keys", "aria-label": "keys", title: "keys (?)", "aria-expanded": "false" }, "?"),
        make("span", { class: "n", "data-p": "n" })),
      make("p", { class: "title", "data-p": "title" }), make("p", { class: "why", "data-p": "why" })),
    make("div", { class: "help", "data-p": "help", role: "note", "aria-label": "keys" }, make("dl")),
    make("div", { class: "score", "data-p": "score" }, make("input", { type: "range", min: 0, value: 0, step: 1, "aria-label": "step" })),
    make("div", { class: "stage", "data-p": "stage" }),
    make("div", { class: "log", "data-p": "log" }),
    make("div", { class: "src" }, make("span", { "data-p": "source" }), make("span", {}, "← → · space · PgUp PgDn · ?")),
    make("div", { class: "sr", "data-p": "live", "aria-live": "polite" }),
  ];
}

// Each part's changes in order, so that showing any step is a binary search and never a replay.
function index(stage, scene) {
  const parts = new Map();
  stage.querySelectorAll("[data-id]").forEach((el) => parts.set(el.dataset.id,
    { el, base: el.getAttribute("class") || "", steps: [], states: [], texts: [], speaks: false, shownState: null, shownText: null }));
  scene.steps.forEach((step, t) => (step.patches || []).forEach(([id, state, text]) => {
    const part = parts.get(id), last = part.steps.length - 1;
    if (text !== null && !part.speaks) { part.speaks = true; part.first = part.el.textContent; }
    part.steps.push(t);
    part.states.push(state === null ? (last < 0 ? "" : part.states[last]) : state);
    part.texts.push(text === null ? (last < 0 ? null : part.texts[last]) : text);
  }));
  return parts;
}

function latest(steps, t) {
  let low = 0, high = steps.length;
  while (low < high) { const middle = (low + high) >> 1; if (steps[middle] <= t) low = middle + 1; else high = middle; }
  return low - 1;
}

// The score: one lane for each actor, one dot for each step, brackets below. It is also the slider.
function drawScore(host, scene) {
  const count = scene.steps.length, lanes = new Map(scene.lanes.map(([key], i) => [key, TOP + LANE * i]));
  const bottom = TOP + LANE * (lanes.size - 1), height = bottom + 31.5;
  const x = (t) => (count > 1 ? X0 + ((X1 - X0) * t) / (count - 1) : X0);
  const gap = (X1 - X0) / Math.max(1, count - 1), dense = gap < 4.2, radius = Math.max(2, Math.min(5, gap * 0.42));
  const svg = draw("svg", { viewBox: `0 0 800 ${height}`, "aria-hidden": "true" });
  for (const [key, label] of scene.lanes) {
    svg.append(draw("line", { x1: X0 - 8, x2: 794, y1: lanes.get(key), y2: lanes.get(key), class: "lane" }),
      draw("text", { x: X0 - 16, y: lanes.get(key) + 5, class: `lname end ${key}` }, label));
  }
  const y = scene.steps.map((step) => lanes.get(step.lane || step.actor)), marks = [];
  if (!dense) for (let t = 1; t < count; t++) {
    marks.push([t, "seg", draw("line", { x1: x(t - 1), y1: y[t - 1], x2: x(t), y2: y[t] })]);
  }
  scene.steps.forEach((step, t) => marks.push(dense
    ? [t, `tick ${step.lane ? "" : step.actor}`, draw("line", { x1: x(t), x2: x(t), y1: y[t] - 4.5, y2: y[t] + 4.5 })]
    : [t, `dot ${step.lane ? "" : step.actor}`, draw("circle", { cx: x(t), cy: y[t], r: radius })]));
  const groups = scene.groups.map((group) => {
    const g = draw("g"), left = x(group.first) - 3, right = x(group.last) + 3, middle = (left + right) / 2, base = bottom + 9.5;
    const room = group.first === group.last ? 400 : right - left - 2;
    if (group.first === group.last) g.append(draw("path", { d: `M${middle} ${base - 1}l5 5-5 5-5-5z`, class: "diamond" }));
    else g.append(draw("path", { d: `M${left} ${base}v4H${right}v-4`, class: "br" }));
    const anchor = group.first === group.last ? (middle > 620 ? ["end", middle - 9] : ["", middle + 9]) : ["mid", middle];
    const label = draw("text", { x: anchor[1], y: base + (group.first === group.last ? 8.5 : 17), class: `brt ${anchor[0]}` });
    g.append(label);
    svg.append(g);
    return { ...group, g, label, room, shown: null };
  });
  marks.forEach(([, base, node]) => { node.setAttribute("class", base); svg.append(node); });
  const head = draw("g", { class: "head" });
  head.append(draw("path", { d: "M-7 0h14l-7 9z" }), draw("line", { x1: 0, x2: 0, y1: 8, y2: bottom + 4.5 }));
  svg.append(head);
  host.querySelector("svg")?.remove();
  host.append(svg);
  const range = host.querySelector("input");
  range.max = count - 1;
  range.style.left = `${X0 / 8}%`;
  range.style.width = `${(X1 - X0) / 8}%`;
  const at = Array.from({ length: count }, () => []);
  marks.forEach(([t, base, node]) => at[t].push([node, base]));
  const paint = (t, cur) => at[t].forEach(([node, base]) => node.setAttribute("class", base + (t < cur ? " done" : t === cur ? " done cur" : "")));
  return (from, to) => {                                     // repaint only what lies between the old and the new cursor
    for (let t = Math.max(0, Math.min(from, to)); t <= Math.max(from, to) && t < count; t++) paint(t, to);
    for (const group of groups) {
      const { g, label, room, first, last, before, after } = group;
      const past = to > last || (to === last && last === count - 1), words = past || (first === last && to >= first) ? after : before;
      const state = past ? "post" : to >= first ? "on" : "";
      if (group.shown === state + words) continue;
      group.shown = state + words;
      g.setAttribute("class", state);
      label.textContent = words;
      if (label.getComputedTextLength() > room) label.textContent = "";
    }
    head.setAttribute("transform", `translate(${x(to)} 0)`);
  };
}

// {c|cause} and {e|effect}: the sentence wears the marks of the picture.
function sentence(el, words) {
  el.replaceChildren(...words.split(/(\{[ce]\|[^{}]*\})/).filter(Boolean).map((piece) => {
    const marked = /^\{([ce])\|([^{}]*)\}$/.exec(piece);
    return marked ? make("span", { class: marked[1] }, marked[2]) : document.createTextNode(piece);
  }));
}

export function player(root, first, { onStep = () => {} } = {}) {
  const uid = `kvm${Math.random().toString(36).slice(2)}-`;   // each widget loads this module anew: no counter
  let scene, parts, paintScore, lines, upto, marks, count, names, cur = -1, timer = 0;
  root.classList.add("kvm");
  root.setAttribute("tabindex", "0");
  root.setAttribute("role", "region");
  root.append(...shell());
  const q = Object.fromEntries([...root.querySelectorAll("[data-p]")].map((el) => [el.dataset.p, el]));
  const range = root.querySelector("input[type=range]");
  q.help.hidden = true;
  for (let i = 0; i < 14; i++) q.log.append(make("div", {}, make("b"), make("span")));

  function load(next, start) {
    const name = scene?.name;
    scene = next; count = scene.steps.length;
    if (name) root.classList.remove(name);
    root.classList.add(scene.name);
    root.setAttribute("aria-label", scene.title);
    q.stage.innerHTML = scene.markup.replaceAll("{uid}", uid);   // markup is made, and escaped, in Python
    parts = index(q.stage, scene);
    paintScore = drawScore(q.score, scene);
    names = { guest: "guest", hw: "hardware", kern: "kernel", host: "host" };
    lines = []; upto = [];
    scene.steps.forEach((step, t) => { for (const [who, text] of step.log || []) lines.push([t, who, text]); upto.push(lines.length); });
    marks = scene.steps.flatMap((step, t) => (step.mark ? [t] : []));
    q.source.textContent = scene.source;
    for (const [way, key] of [["prev", "PgUp"], ["next", "PgDn"]]) {
      const label = `${way === "prev" ? "previous" : "next"} ${scene.jump} (${key})`;
      q[way].setAttribute("aria-label", label); q[way].title = label;
    }
    q.help.firstChild.replaceChildren(...HELP.flatMap(([keys, what]) => [make("dt", {}, keys), make("dd", {}, what.replace("{jump}", scene.jump))]));
    cur = -1;
    show(start, false);
  }

  function show(to, speak = true) {
    const t = Math.max(0, Math.min(count - 1, Math.trunc(to) || 0));
    if (t === cur) return;
    root.classList.toggle("anim", cur >= 0 && Math.abs(t - cur) === 1);
    const step = scene.steps[t], now = new Set(step.now), cause = new Set(step.cause);
    for (const [id, part] of parts) {
      const at = latest(part.steps, t), state = at < 0 ? "" : part.states[at];
      const words = [part.base, state, now.has(id) ? "now" : "", cause.has(id) ? "cause" : ""].filter(Boolean).join(" ");
      if (words !== part.shownState) { part.el.setAttribute("class", words); part.shownState = words; }
      if (part.speaks) {
        const text = at < 0 || part.texts[at] === null ? part.first : part.texts[at];
        if (text !== part.shownText) { part.el.textContent = text; part.shownText = text; }
      }
    }
    paintScore(cur < 0 ? 0 : cur, t);
    if (cur < 0) paintScore(count - 1, t);
    const chip = step.chip || names[step.actor];
    q.chip.className = `chip ${step.actor}`; q.chip.textContent = chip;
    q.fn.textContent = step.fn; q.title.textContent = step.title; sentence(q.why, step.why);
    q.n.textContent = `${String(t + 1).padStart(String(count).length)}/${count}`;
    [...q.log.children].forEach((row, i) => {
      const line = lines[upto[t] - 1 - i];
      row.className = line ? line[1] + (line[0] === t ? " on" : "") : "";
      row.firstChild.textContent = line ? names[line[1]] : ""; row.lastChild.textContent = line ? line[2] : "";
    });
    range.value = t; range.setAttribute("aria-valuetext", `step ${t + 1} of ${count}: ${step.title}`);
    q.back.disabled = q.prev.disabled = t === 0; q.step.disabled = q.next.disabled = t === count - 1;
    cur = t;
    if (speak) { q.live.textContent = `Step ${t + 1} of ${count}. ${chip}. ${step.title}. ${q.why.textContent}`; onStep(t); }
  }

  function jump(way) {
    const mark = way > 0 ? marks.find((t) => t > cur) : marks.findLast((t) => t < cur);
    show(mark === undefined ? (way > 0 ? count - 1 : 0) : mark);
  }

  function play(on) {
    clearTimeout(timer); timer = 0;
    q.play.setAttribute("aria-label", on ? "pause" : "play"); q.play.title = `${on ? "pause" : "play"} (space)`;
    q.play.querySelector("path").setAttribute("d", on ? ICONS.pause : ICONS.play);
    if (!on) return;
    if (cur === count - 1) show(0);
    const tick = () => {
      if (cur >= count - 1 || !root.isConnected) return play(false);
      show(cur + 1);
      timer = setTimeout(tick, (scene.steps[cur].fast ? HOLD_FAST : HOLD) / Number(q.speed.value));
    };
    timer = setTimeout(tick, FIRST);
  }

  function help(open) { q.help.hidden = !open; q.keys.setAttribute("aria-expanded", String(open)); }

  const act = { back: () => show(cur - 1), step: () => show(cur + 1), prev: () => jump(-1), next: () => jump(1),
    play: () => play(!timer), keys: () => help(q.help.hidden) };
  for (const name of Object.keys(act)) q[name].addEventListener("click", () => {
    if (name !== "play") play(false);
    act[name]();
    if (q[name].disabled) root.focus({ preventScroll: true });   // a disabled button would swallow the keys
  });
  range.addEventListener("input", () => { play(false); show(Number(range.value)); });
  const keys = { ArrowRight: act.step, ArrowDown: act.step, ArrowLeft: act.back, ArrowUp: act.back, Home: () => show(0),
    End: () => show(count - 1), PageDown: act.next, PageUp: act.prev, " ": act.play, "?": act.keys, Escape: () => help(false) };

  // JupyterLab takes keys on the document before they arrive here, and two presses of d would delete the cell.
  // So plain keys pressed inside the panel are taken first, at the window; those with Ctrl, Alt or Meta pass.
  function onKey(event) {
    if (!root.contains(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation();
    const native = event.key === " " || event.key === "Enter" ? event.target.tagName === "BUTTON" : event.target.tagName === "SELECT";
    const action = keys[event.key];
    if (native || event.target.tagName === "SELECT" || !action) return;
    event.preventDefault();
    if (event.key !== " ") play(false);
    action();
  }
  window.addEventListener("keydown", onKey, true);

  load(first, 0);
  return {
    load, show, play,
    get step() { return cur; },
    get count() { return count; },
    destroy() { play(false); window.removeEventListener("keydown", onKey, true); root.replaceChildren(); },
  };
}

// Light or dark: as JupyterLab says, or else as the reader's system does.
export function followTheme(root) {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const lab = document.body.dataset.jpThemeLight;
    root.dataset.theme = (lab === undefined ? dark.matches : lab === "false") ? "dark" : "light";
  };
  const observer = new MutationObserver(apply);
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  dark.addEventListener("change", apply);
  apply();
  return () => { observer.disconnect(); dark.removeEventListener("change", apply); };
}

// The widget: `scene` and `step` come from Python. A step shows at once; Python is told when the hand rests.
function render({ model, el }) {
  const root = make("section");
  el.append(make("div", { class: "kvmwrap" }, root));
  const unfollow = followTheme(root);
  let saving = 0, told = false;                              // told: the step came from the model, so do not tell it back
  const save = () => { clearTimeout(saving); saving = 0; model.save_changes(); };
  const flush = (event) => { if (saving && !root.contains(event.target)) save(); };   // a command must not overtake the cursor
  const view = player(root, model.get("scene"), { onStep(t) {
    if (told) return;
    model.set("step", t);                                    // other views of this model follow at once
    clearTimeout(saving);
    saving = setTimeout(save, SAVE);
  } });
  const follow = (action) => () => { told = true; action(); told = false; };
  const move = follow(() => { if (model.get("step") < view.count) view.show(model.get("step")); });
  const grow = follow(() => {
    view.play(false);
    view.load(model.get("scene"), view.step);
    const box = root.closest(".kvmlab-panel");
    if (box?.contains(document.activeElement)) root.focus({ preventScroll: true });   // so the arrow keys walk the new steps
    view.show(model.get("step"));
  });
  for (const kind of ["pointerdown", "keydown"]) window.addEventListener(kind, flush, true);
  model.on("change:step", move);
  model.on("change:scene", grow);
  move();
  return () => {
    if (saving) save();
    for (const kind of ["pointerdown", "keydown"]) window.removeEventListener(kind, flush, true);
    model.off("change:step", move);
    model.off("change:scene", grow);
    unfollow();
    view.destroy();
  };
}

export default { render };
