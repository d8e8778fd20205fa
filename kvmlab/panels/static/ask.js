// The player, part 3: predict mode. Before a step that has a consequence it asks; after it, it sets "you said" beside
// "it did". Nothing is scored, everything can be skipped.

function asker(box, onAnswer) {
  let waiting = null;                                        // what to do once there is an answer, or null

  function close() {
    if (box.contains(document.activeElement)) box.parentElement.focus({ preventScroll: true });   // or the keys would be lost
    waiting = null;
    box.hidden = true;
    box.replaceChildren();
  }

  function ask(question, goOn) {
    const answer = (choice) => { close(); onAnswer(choice); goOn(choice); };
    const choices = question.choices.map((words, number) => {
      const one = make("button", { type: "button", "data-choice": number }, make("kbd", {}, String(number + 1)), make("span", {}, words));
      one.addEventListener("click", () => answer(number));
      return one;
    });
    const skip = make("button", { type: "button", "data-choice": "skip", class: "skip" }, make("kbd", {}, "s"), make("span", {}, "skip"));
    skip.addEventListener("click", () => answer("skip"));
    box.replaceChildren(make("p", { class: "q" }, make("b", {}, "What will happen? "), question.ask),
      make("div", { class: "choices", role: "group", "aria-label": question.ask }, ...choices, skip));
    box.hidden = false;
    waiting = (key) => {
      if (key === "s" || key === "S") return answer("skip"), true;
      if (/^[1-9]$/.test(key) && choices[key - 1]) return answer(key - 1), true;
      return false;
    };
    choices[0].focus({ preventScroll: true });
  }

  function tell(question, choice, cards) {
    const right = choice === question.right, card = cards[question.beliefs[choice]];
    const said = make("div", { class: right ? "same" : "other" }, make("b", {}, "You said "), question.choices[choice]);
    const did = make("div", { class: "did" }, make("b", {}, "It did "), question.choices[question.right]);
    const words = make("p", { class: "because" }, make("b", {}, right ? "= " : "≠ "), question.because);
    if (card && !right) words.append(" ", make("b", {}, "Many think: "), `“${card[0]}” `, make("b", {}, "But: "), card[1]);
    const done = make("button", { type: "button", "data-choice": "done" }, "go on");
    done.addEventListener("click", close);
    box.replaceChildren(make("div", { class: "pair" }, said, did), words, done);
    box.hidden = false;
    waiting = null;
  }

  return { ask, tell, close, key: (key) => Boolean(waiting && waiting(key)), get open() { return waiting !== null; },
    get shown() { return !box.hidden; } };
}
