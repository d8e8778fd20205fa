// The player, part 5: the widget. `scene` and `step` come from Python. A step shows at once; Python is told when the hand
// rests. Players of one run on a page move together: each finds its own step for the moment that another shows.

const SAVE = 150;                                            // milliseconds until the cursor is told to Python
const MOVED = "kvmlab:moved";

// Once for each model, shown or not.
function initialize({ model }) {
  const follow = ({ detail }) => {
    const scene = model.get("scene"), step = stepAt(scene, detail.event);
    if (detail.run !== model.get("run") || detail.scene === scene) return;
    if (step !== model.get("step")) { model.set("step", step); soon(model); }
  };
  const grow = (message) => {                                // steps that have changed, those from a number on, and all else
    if (!message.grow) return;
    const scene = model.get("scene"), { steps, ...rest } = message.grow;
    Object.assign(scene, rest, { cards: { ...scene.cards, ...rest.cards }, files: { ...scene.files, ...rest.files } });
    scene.steps.length = message.from;
    Object.assign(scene.steps, message.changed);
    scene.steps.push(...steps);
  };
  window.addEventListener(MOVED, follow);
  model.on("msg:custom", grow);
  return () => { window.removeEventListener(MOVED, follow); model.off("msg:custom", grow); };
}

const timers = new Map();                                    // models with something to tell
function soon(model) {
  clearTimeout(timers.get(model));
  timers.set(model, setTimeout(() => tell(model), SAVE));
}
function tell(model) {
  if (!timers.has(model)) return;
  clearTimeout(timers.get(model));
  timers.delete(model);
  model.save_changes();
}

// Sliders of ipywidgets have no name for those who cannot see the label beside them.
function nameSliders(box) {
  for (const handle of box?.querySelectorAll("[role=slider]:not([aria-label])") ?? []) {
    const label = handle.closest(".widget-slider")?.querySelector("label");
    if (label) handle.setAttribute("aria-label", label.textContent);
  }
}

function render({ model, el }) {
  const root = make("section");
  el.append(make("div", { class: "kvmwrap" }, root));
  const unfollow = followTheme(root), laidOut = new ResizeObserver(() => nameSliders(root.closest(".kvmlab-flush")));
  laidOut.observe(root);
  let told = false;                                          // the step came from the model, so do not tell it back
  const view = player(root, model.get("scene"), {
    predict: model.get("predict"), answers: model.get("answers"),
    onStep(t) {
      if (told) return;
      model.set("step", t);                                  // other views of this model follow at once
      soon(model);
      const run = model.get("run"), scene = model.get("scene");
      if (run) window.dispatchEvent(new CustomEvent(MOVED, { detail: { run, scene, event: scene.steps[t].event || 0 } }));
    },
    onAnswer(t, choice) { model.set("answers", { ...model.get("answers"), [t]: choice }); soon(model); },
    onPick(part) { tell(model); model.send({ pick: part }); },
  });
  const quietly = (action) => (...args) => { told = true; action(...args); told = false; };
  const move = quietly(() => { if (model.get("step") < view.count) view.show(model.get("step")); });
  const focus = () => {                                      // so the arrow keys walk the new steps
    const box = root.closest(".kvmlab-panel");
    if (box?.contains(document.activeElement) && !root.contains(document.activeElement)) root.focus({ preventScroll: true });
  };
  const grow = quietly((message) => {
    if (!message.grow) return;
    view.play(false);
    if (message.grow.markup || message.from < view.count || Object.keys(message.changed).length) view.load(model.get("scene"), view.step);
    else view.grow(message.from, view.step);
    focus();
    move();
  });
  const before = (event) => { if (!root.contains(event.target)) tell(model); };   // a command must not overtake the cursor
  const live = () => view.lose(Boolean(el.closest(".jupyter-widgets-disconnected")));
  const predict = () => view.ask(model.get("predict"));
  const heard = { "change:step": move, "msg:custom": grow, "change:predict": predict, comm_live_update: () => setTimeout(live) };
  for (const kind of ["pointerdown", "keydown"]) window.addEventListener(kind, before, true);
  for (const [name, action] of Object.entries(heard)) model.on(name, action);
  move();
  return () => {
    tell(model);
    for (const kind of ["pointerdown", "keydown"]) window.removeEventListener(kind, before, true);
    for (const [name, action] of Object.entries(heard)) model.off(name, action);
    unfollow();
    laidOut.disconnect();
    view.destroy();
  };
}

export default { initialize, render };
