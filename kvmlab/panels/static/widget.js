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
  const grow = (message) => {                                // new steps at the end: what was there stays
    if (!message.grow) return;
    const scene = model.get("scene"), { steps, ...rest } = message.grow;
    Object.assign(scene, rest, { cards: { ...scene.cards, ...rest.cards }, files: { ...scene.files, ...rest.files } });
    scene.steps.length = message.from;
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

function render({ model, el }) {
  const root = make("section");
  el.append(make("div", { class: "kvmwrap" }, root));
  const unfollow = followTheme(root);
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
  const replace = quietly(() => { view.play(false); view.load(model.get("scene"), view.step); focus(); move(); });
  const grow = quietly((message) => { if (message.grow) { view.play(false); view.grow(message.from, view.step); focus(); move(); } });
  const before = (event) => { if (!root.contains(event.target)) tell(model); };   // a command must not overtake the cursor
  const live = () => view.lose(Boolean(el.closest(".jupyter-widgets-disconnected")));
  const predict = () => view.ask(model.get("predict"));
  const heard = { "change:step": move, "change:scene": replace, "msg:custom": grow, "change:predict": predict, comm_live_update: () => setTimeout(live) };
  for (const kind of ["pointerdown", "keydown"]) window.addEventListener(kind, before, true);
  for (const [name, action] of Object.entries(heard)) model.on(name, action);
  move();
  return () => {
    tell(model);
    for (const kind of ["pointerdown", "keydown"]) window.removeEventListener(kind, before, true);
    for (const [name, action] of Object.entries(heard)) model.off(name, action);
    unfollow();
    view.destroy();
  };
}

export default { initialize, render };
