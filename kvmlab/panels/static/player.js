// The player, part 4: shows a scene (one picture laid out once, and what changes in each step) and walks through it.
// Its only state is the cursor, the grain, and whether it asks.

const HELP = [["→ ↓", "one step on"], ["← ↑", "one step back"], ["Home End", "first and last step"],
  ["PgDn PgUp", "next and previous {jump}"], ["Space", "play or pause"], ["g", "step by event, function or command"],
  ["a", "ask me before steps, or not"], ["1 2 3 4, s", "answer, or skip"], ["?", "show or hide this list"]];
const HOLD = 1800, HOLD_FAST = 90, FIRST = 500;              // milliseconds a step is held at speed 1
const GRAINS = [["event", "every event"], ["function", "functions"], ["command", "commands"]];
const NAMES = { guest: "guest", hw: "hardware", kern: "kernel", host: "host" };
const LOST = "The kernel behind this panel is gone. The picture still steps, but the controls do nothing: run all cells to bring it back.";

function shell() {
  return [
    make("div", { class: "lost", "data-p": "lost", role: "alert", hidden: "" }),
    make("div", { class: "say" },
      make("div", { class: "ctl", role: "group", "aria-label": "walk through the run" },
        button("prev", "previous"), button("back", "step back (left arrow)"), button("play", "play (space)"),
        button("step", "step (right arrow)"), button("next", "next"),
        choose("grain", "how far a step goes (g)", GRAINS),
        choose("speed", "speed", [[0.5, "½×"], [1, "1×"], [2, "2×"], [4, "4×"]]),
        make("button", { type: "button", "data-p": "ask", class: "toggle", title: "ask me before steps (a)", "aria-pressed": "false" }, "ask me"),
        make("button", { type: "button", "data-p": "keys", "aria-label": "keys", title: "keys (?)", "aria-expanded": "false" }, "?"),
        make("span", { class: "n", "data-p": "n" })),
      make("div", { class: "who" }, make("span", { class: "chip", "data-p": "chip" }), make("span", { class: "label", "data-p": "label" }),
        make("a", { class: "fn", "data-p": "fn", target: "_blank", rel: "noopener noreferrer" })),
      make("p", { class: "title", "data-p": "title" }), make("p", { class: "why", "data-p": "why" })),
    make("div", { class: "help", "data-p": "help", role: "note", "aria-label": "keys" }, make("dl"), make("button", { type: "button", "data-p": "shut" }, "close")),
    make("div", { class: "asked", "data-p": "asked", role: "region", "aria-label": "question", hidden: "" }),
    make("div", { class: "score", "data-p": "score" }, make("input", { type: "range", min: 0, value: 0, step: 1, "aria-label": "step" })),
    make("div", { class: "stage", "data-p": "stage" }),
    make("div", { class: "log", "data-p": "log" }),
    make("div", { class: "src" }, make("span", { "data-p": "source" }), make("span", {}, "← → · space · PgUp PgDn · ?")),
    make("div", { class: "sr", "data-p": "live", "aria-live": "polite" }),
    make("div", { class: "sr", "data-p": "twin" }),
  ];
}

// Each part's changes in order, so that showing any step is a binary search and never a replay.
function index(stage) {
  const parts = new Map();
  stage.querySelectorAll("[data-id]").forEach((el) => parts.set(el.dataset.id, { el, base: el.getAttribute("class") || "",
    first: el.textContent, steps: [], states: [], texts: [], speaks: false, shownState: null, shownText: null }));
  return parts;
}

function extend(parts, steps, start) {
  steps.forEach((step, at) => (step.patches || []).forEach(([id, state, text]) => {
    const part = parts.get(id), last = part.steps.length - 1;
    part.speaks ||= text !== null;
    part.steps.push(start + at);
    part.states.push(state === null ? (last < 0 ? "" : part.states[last]) : state);
    part.texts.push(text === null ? (last < 0 ? null : part.texts[last]) : text);
  }));
}

function latest(steps, t) {
  let low = 0, high = steps.length;
  while (low < high) { const middle = (low + high) >> 1; if (steps[middle] <= t) low = middle + 1; else high = middle; }
  return low - 1;
}

// The last step that shows no more than so many events: how panels of one run find each other's moment.
function stepAt(scene, event) {
  let low = 0, high = scene.steps.length;
  while (low < high) { const middle = (low + high) >> 1; if ((scene.steps[middle].event || 0) <= event) low = middle + 1; else high = middle; }
  return Math.max(0, low - 1);
}

export function player(root, first, { onStep = () => {}, onAnswer = () => {}, onPick = () => {}, predict = false, answers = {} } = {}) {
  const uid = `kvm${Math.random().toString(36).slice(2)}-`;   // each widget loads this module anew: no counter
  let scene, parts, paintScore, lines, upto, marks, stops, count, cur = -1, timer = 0;
  const answered = new Map(Object.entries(answers).map(([t, choice]) => [Number(t), choice]));
  root.classList.add("kvm");
  root.setAttribute("tabindex", "0");
  root.setAttribute("role", "region");
  root.append(...shell());
  const q = Object.fromEntries([...root.querySelectorAll("[data-p]")].map((el) => [el.dataset.p, el]));
  const range = root.querySelector("input[type=range]");
  const asks = asker(q.asked, (choice) => { answered.set(asking, choice); onAnswer(asking, choice); });
  let asking = 0, predicting = false;
  q.speed.value = "1";
  q.help.hidden = true;
  for (let i = 0; i < 14; i++) q.log.append(make("div", {}, make("b"), make("span")));

  function load(next, start) {
    asks.close();
    if (scene) root.classList.remove(scene.name);
    scene = next;
    root.classList.add(scene.name);
    root.setAttribute("aria-label", scene.title);
    const held = q.stage.contains(document.activeElement) ? document.activeElement.dataset.pick : undefined;
    q.stage.innerHTML = scene.markup.replaceAll("{uid}", uid);   // markup is made, and escaped, in Python
    if (held !== undefined) (q.stage.querySelector(`[data-pick="${CSS.escape(held)}"]`) ?? root).focus({ preventScroll: true });
    q.twin.id = `${uid}twin`;
    q.stage.firstElementChild.setAttribute("aria-describedby", q.twin.id);
    parts = index(q.stage);
    extend(parts, scene.steps, 0);
    for (const [t] of answered) if (!scene.steps[t]?.ask) answered.delete(t);
    survey(start);
  }

  function grow(start, to) {                                 // the scene has got new steps at its end: the picture stays
    extend(parts, scene.steps.slice(start), start);
    survey(to);
  }

  function survey(to) {                                      // what is known of all steps together
    count = scene.steps.length;
    paintScore = drawScore(q.score, scene);
    lines = []; upto = [];
    scene.steps.forEach((step, t) => { for (const [who, text] of step.log || []) lines.push([t, who, text]); upto.push(lines.length); });
    marks = scene.steps.flatMap((step, t) => (step.mark ? [t] : []));
    const same = { event: () => false, function: (a, b) => a.fn === b.fn && a.command === b.command, command: (a, b) => a.command === b.command };
    stops = Object.fromEntries(Object.entries(same).map(([grain, alike]) => [grain,
      scene.steps.flatMap((step, t) => (t === count - 1 || !alike(step, scene.steps[t + 1]) ? [t] : []))]));
    q.source.textContent = scene.source;
    for (const [way, key] of [["prev", "PgUp"], ["next", "PgDn"]]) {
      const label = `${way === "prev" ? "previous" : "next"} ${scene.jump} (${key})`;
      q[way].setAttribute("aria-label", label); q[way].title = label;
    }
    q.ask.disabled = !scene.steps.some((step) => step.ask);
    q.help.firstChild.replaceChildren(...HELP.flatMap(([keys, what]) => [make("dt", {}, keys), make("dd", {}, what.replace("{jump}", scene.jump))]));
    cur = -1;
    show(to, false);
  }

  function show(to, speak = true) {
    const t = Math.max(0, Math.min(count - 1, Math.trunc(to) || 0));
    if (asks.shown) asks.close();
    if (t === cur) return;
    root.classList.toggle("anim", cur >= 0 && Math.abs(t - cur) === 1);
    const step = scene.steps[t], now = new Set(step.now), cause = new Set(step.cause), differs = new Set(step.differs);
    for (const [id, part] of parts) {
      const at = latest(part.steps, t), state = at < 0 ? "" : part.states[at];
      const words = [part.base, state, now.has(id) ? "now" : "", cause.has(id) ? "cause" : "", differs.has(id) ? "differs" : ""].filter(Boolean).join(" ");
      if (words !== part.shownState) { part.el.setAttribute("class", words); part.shownState = words; }
      if (part.speaks) {
        const text = at < 0 || part.texts[at] === null ? part.first : part.texts[at];
        if (text !== part.shownText) { part.el.textContent = text; part.shownText = text; }
      }
    }
    paintScore(cur < 0 ? 0 : cur, t);
    if (cur < 0) paintScore(count - 1, t);
    const chip = step.chip || NAMES[step.actor], file = scene.files[step.fn];
    q.chip.className = `chip ${step.actor}`; q.chip.textContent = chip;
    q.label.textContent = step.label;
    q.fn.textContent = step.fn;
    if (file) {                                                // relative to the browser, or a whole address of another version
      q.fn.href = new URL(file, scene.browser);
      const [, version, path] = /\/v([^/]+)\/source\/(.+)$/.exec(q.fn.href) ?? [];
      q.fn.title = path ? `${path}, Linux ${version} (opens a source browser)` : "";
    }
    else { q.fn.removeAttribute("href"); q.fn.title = ""; }
    q.title.textContent = step.title; sentence(q.why, step.why);
    q.n.textContent = `${String(t + 1).padStart(String(count).length)}/${count}`;
    [...q.log.children].forEach((row, i) => {
      const line = lines[upto[t] - 1 - i];
      row.className = line ? line[1] + (line[0] === t ? " on" : "") : "";
      row.firstChild.textContent = line ? NAMES[line[1]] : ""; row.lastChild.textContent = line ? line[2] : "";
    });
    q.twin.textContent = twin(step);
    range.value = t; range.setAttribute("aria-valuetext", `step ${t + 1} of ${count}: ${step.title}`);
    q.back.disabled = q.prev.disabled = t === 0; q.step.disabled = q.next.disabled = t === count - 1;
    cur = t;
    if (speak) { q.live.textContent = `Step ${t + 1} of ${count}. ${chip}. ${step.label}. ${step.title}. ${q.why.textContent}`; onStep(t); }
  }

  // What the picture shows at this step, in words: what happens, and the values that change and that it is because of.
  function twin(step) {
    const said = (ids) => [...new Set((ids || []).flatMap((id) => {
      const { el } = parts.get(id);
      return (el.localName === "text" ? [el] : [...el.querySelectorAll("text")]).filter((one) => /[\p{L}\p{N}]/u.test(one.textContent) && !one.closest(".off")).map((one) => one.textContent);
    }))].join(", ");
    const written = (step.patches || []).flatMap(([id, , text]) => (text === null ? [] : [id]));
    const changed = said([...(step.now || []), ...written]), because = said(step.cause);
    return `${step.title}. ${q.why.textContent}${changed && ` Changed: ${changed}.`}${because && ` Because of: ${because}.`}`;
  }

  // One step on, of the size that is set; in predict mode it stops where there is something to predict.
  function forward() {
    const to = stops[q.grain.value].find((t) => t > cur) ?? count - 1;
    if (predicting) for (let t = cur + 1; t <= to; t++) {
      const question = scene.steps[t].ask;
      if (!question || answered.has(t)) continue;
      play(false);
      show(t - 1);
      asking = t;
      asks.ask(question, (choice) => { show(t); if (choice !== "skip") asks.tell(question, choice, scene.cards); });
      q.live.textContent = `What will happen? ${question.ask} ${question.choices.map((words, i) => `${i + 1}: ${words}`).join(". ")}`;
      return;
    }
    show(to);
  }
  const backward = () => show(stops[q.grain.value].findLast((t) => t < cur) ?? 0);

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
      forward();
      if (!asks.open) timer = setTimeout(tick, (scene.steps[cur].fast ? HOLD_FAST : HOLD) / Number(q.speed.value));
    };
    timer = setTimeout(tick, FIRST);
  }

  function help(open) {
    if (q.help.contains(document.activeElement)) q.keys.focus({ preventScroll: true });
    q.help.hidden = !open;
    q.keys.setAttribute("aria-expanded", String(open));
  }
  function ask(on) { predicting = on; q.ask.setAttribute("aria-pressed", String(on)); if (!on) asks.close(); }
  function coarser() { q.grain.selectedIndex = (q.grain.selectedIndex + 1) % GRAINS.length; q.live.textContent = `steps: ${GRAINS[q.grain.selectedIndex][1]}`; }

  const act = { back: backward, step: forward, prev: () => jump(-1), next: () => jump(1),
    play: () => play(!timer), keys: () => help(q.help.hidden), shut: () => help(false), ask: () => ask(!predicting) };
  for (const name of Object.keys(act)) q[name].addEventListener("click", () => {
    if (name !== "play") play(false);
    act[name]();
    if (q[name].disabled) root.focus({ preventScroll: true });   // a disabled button would swallow the keys
  });
  range.addEventListener("input", () => { play(false); show(Number(range.value)); });
  q.stage.addEventListener("click", (event) => { const part = event.target.closest("[data-pick]"); if (part) onPick(part.dataset.pick); });
  const keys = { ArrowRight: forward, ArrowDown: forward, ArrowLeft: backward, ArrowUp: backward, Home: () => show(0),
    End: () => show(count - 1), PageDown: act.next, PageUp: act.prev, " ": act.play, "?": act.keys, g: coarser,
    a: () => q.ask.disabled || ask(!predicting), Escape: () => { help(false); asks.close(); } };

  // JupyterLab takes keys on the document before they arrive here, and two presses of d would delete the cell.
  // So plain keys pressed inside the panel are taken first, at the window; those with Ctrl, Alt or Meta pass.
  function onKey(event) {
    const at = event.target, press = event.key === " " || event.key === "Enter";
    if (!root.contains(at) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation();
    if (at.tagName === "SELECT" || (press && ["BUTTON", "A"].includes(at.tagName))) return;
    if (press && at.dataset.pick) { event.preventDefault(); onPick(at.dataset.pick); return; }
    if (asks.key(event.key)) { event.preventDefault(); return; }
    if (asks.open && /^Arrow(Right|Down)$/.test(event.key)) { event.preventDefault(); return; }   // it waits for an answer
    const action = keys[event.key];
    if (!action) return;
    event.preventDefault();
    if (event.key !== " ") play(false);
    action();
  }
  window.addEventListener("keydown", onKey, true);

  load(first, 0);
  ask(predict);                                              // even if there is nothing to ask yet: the run may grow
  return {
    load, grow, show, play, ask,
    lose(on) { q.lost.hidden = !on; q.lost.textContent = on ? LOST : ""; },
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
