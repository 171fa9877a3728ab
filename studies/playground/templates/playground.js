"use strict";

// The page: training in the gaps between frames, the bar, the lessons and the address.

const playground = (() => {
  const BUDGET = 50; // milliseconds of training between two looks at the clicks of the user
  const REDRAW = 200; // milliseconds between two drawings
  const find = (id) => document.getElementById(id);
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const data = readData(JSON.parse(find("data").textContent));
  const stepsPerEpoch = Math.ceil(data.train.labels.length / BATCH);
  const panels = ["a", "b"].map((id) => new Panel(find(id), data, (name) => change(name)));
  const standard = panels[0].standard;
  let running = false;
  let goal = LIMIT; // the step at which training pauses
  let replayable = true; // whether settings have been the same since the first step
  let drawn = 0; // when

  const shown = () => (find("two").checked ? panels : panels.slice(0, 1));
  const steps = () => panels[0].training.steps;

  function readData({ images, labels }) {
    const bytes = Uint8Array.from(atob(images), (character) => character.charCodeAt(0));
    const all = { images: Float64Array.from(bytes, (grey) => grey / 16), labels };
    const indices = labels.map((_, i) => i);
    return {
      train: pick(all, indices.filter((i) => i % 6 !== 0)),
      heldOut: pick(all, indices.filter((i) => i % 6 === 0)),
    };
  }

  function say(text, wrong = false) {
    find("said").textContent = text;
    find("said").classList.toggle("wrong", wrong);
  }

  function draw() {
    drawn = performance.now();
    for (const panel of shown()) panel.draw(curveRanges(shown(), panel));
    const epochs = Math.floor(steps() / stepsPerEpoch);
    find("progress").textContent = `Epoch ${epochs}, step ${steps()}`;
  }

  // Both trainings in turn, a step each, so that they are compared at the same step.
  function frame() {
    if (!running) return;
    const end = performance.now() + BUDGET;
    do {
      for (const { training } of shown()) training.step();
    } while (performance.now() < end && steps() < goal);
    if (shown().some(({ training }) => training.diverged)) return diverge();
    if (steps() >= goal) return pause();
    if (performance.now() - drawn > (still.matches ? 10 * REDRAW : REDRAW)) draw();
    requestAnimationFrame(frame);
  }

  function train() {
    if (running || steps() >= LIMIT) return;
    if (steps() >= goal) goal = LIMIT;
    running = true;
    find("train").textContent = "Pause";
    say("It trains.");
    requestAnimationFrame(frame);
  }

  function stop(text, wrong) {
    running = false;
    find("train").textContent = "Train";
    draw();
    writeAddress();
    say(text, wrong);
  }

  function pause() {
    const kept = replayable ? "" : " The link holds the settings, not the steps: they changed in between.";
    const end = steps() >= LIMIT ? " This is the last step." : "";
    stop(`Paused after ${steps()} steps.${end}${kept}`);
  }

  function diverge() {
    const names = shown().filter(({ training }) => training.diverged)
      .map(({ element }) => element.id.toUpperCase());
    stop(`The loss of setting ${names.join(" and ")} is not a number any more. Lower the learning rate and start again.`, true);
  }

  function restart() {
    for (const panel of panels) panel.restart();
    replayable = true;
    goal = LIMIT;
    draw();
    writeAddress();
  }

  // A control of a panel has changed.
  function change(name) {
    if (RESTARTING.includes(name)) {
      restart();
      say("Started again with the new setting.");
      return;
    }
    for (const panel of panels) panel.follow();
    if (steps() > 0 && ["beta", "rate", "loss"].includes(name)) replayable = false;
    if (!running) draw();
    writeAddress();
  }

  function writeAddress() {
    const [a, b] = panels.map((panel) => panel.texts());
    const kept = replayable && !running ? steps() : 0;
    const state = { lesson: find("lesson").value, two: find("two").checked, steps: kept, a, b };
    history.replaceState(null, "", formatAddress(state));
  }

  function show({ lesson, two, a, b }) {
    find("lesson").value = lesson;
    find("look").textContent = LESSONS.find(({ name }) => name === lesson).look;
    find("two").checked = two;
    panels[0].write(a);
    panels[1].write(b);
    arrange();
    running = false;
    find("train").textContent = "Train";
    restart();
  }

  function arrange() {
    panels[1].element.hidden = !find("two").checked;
    find("a").parentElement.classList.toggle("two", find("two").checked);
  }

  // Show what the address describes, and train as far as it says.
  function readAddress() {
    let state = parseAddress("", panels[0].values(), standard);
    let problem = null;
    try {
      state = parseAddress(location.hash, panels[0].values(), standard);
    } catch (error) {
      problem = error.message;
    }
    show(state);
    say(problem ? `The address after # cannot be used: ${problem}. These are the standard settings.` : "Ready.", problem !== null);
    if (state.steps === 0) return;
    goal = state.steps;
    if (still.matches) say(`Press Train: it trains for ${goal} steps, as the address says.`);
    else train();
  }

  function startLesson() {
    show(parseAddress(`lesson=${find("lesson").value}`, panels[0].values(), standard));
    if (still.matches) say("Ready. Press Train.");
    else train();
  }

  async function copyLink() {
    try {
      await navigator.clipboard.writeText(location.href);
      say("Copied the link to this state.");
    } catch {
      say("This browser does not let the page copy. Copy the address from its bar: it holds this state.");
    }
  }

  for (const { name, title } of LESSONS) find("lesson").add(new Option(title, name));
  if (matchMedia("(max-width: 560px)").matches) {
    for (const { element } of panels) element.querySelector("details").open = false;
  }
  find("lesson").addEventListener("change", startLesson);
  find("train").addEventListener("click", () => (running ? pause() : train()));
  find("epoch").addEventListener("click", () => {
    goal = Math.min(LIMIT, (Math.floor(steps() / stepsPerEpoch) + 1) * stepsPerEpoch);
    train();
  });
  find("again").addEventListener("click", () => {
    restart();
    say("Started again.");
  });
  find("two").addEventListener("change", () => {
    arrange();
    restart();
  });
  find("copy").addEventListener("click", copyLink);
  addEventListener("hashchange", readAddress);
  addEventListener("resize", () => { if (!running) draw(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (!running) draw(); });
  readAddress();
  return { panels, data, train, pause, isRunning: () => running };
})();
