// The page: what is typed goes to the model, what it answers becomes bars, words and tables.
import { csvOf } from "./csv.js";
import { loadModel } from "./model.js";

const { carried } = window;
const find = (id) => document.getElementById(id);
const percent = (p) => `${(100 * p).toFixed(p > 0.9995 || p < 0.0005 ? 0 : 1)}%`;
const SHOWN_CLASSES = 8;
const SHOWN_ROWS = 200;
const root = document.documentElement;
let readySeconds = 0;

function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

function bestOf(probabilities) {
  return probabilities.indexOf(Math.max(...probabilities));
}

// --------------------------------------------------------------------------------------- colors

function wearTheme(theme) {
  root.dataset.theme = theme;
  find("theme").setAttribute("aria-pressed", String(theme === "dark"));
}

function remembered(value) {
  try {
    if (value === undefined) return localStorage.getItem("theme");
    localStorage.setItem("theme", value);
  } catch {
    // Some browsers give pages from a disk no memory.
  }
  return null;
}

const system = matchMedia("(prefers-color-scheme: dark)");
wearTheme(remembered() ?? (system.matches ? "dark" : "light"));
system.addEventListener("change", () => {
  if (!remembered()) wearTheme(system.matches ? "dark" : "light");
});
find("theme").addEventListener("click", () => {
  const theme = root.dataset.theme === "dark" ? "light" : "dark";
  remembered(theme);
  wearTheme(theme);
});

// ----------------------------------------------------------------------------------------- tabs

const tabs = [...document.querySelectorAll("[role=tab]")];

function open(tab) {
  for (const one of tabs) {
    const chosen = one === tab;
    one.setAttribute("aria-selected", String(chosen));
    one.tabIndex = chosen ? 0 : -1;
    find(one.getAttribute("aria-controls")).hidden = !chosen;
  }
}

tabs.forEach((tab, number) => {
  tab.addEventListener("click", () => open(tab));
  tab.addEventListener("keydown", (event) => {
    const moves = { ArrowRight: number + 1, ArrowLeft: number - 1, Home: 0, End: tabs.length - 1 };
    if (!Object.hasOwn(moves, event.key)) return;
    event.preventDefault();
    const next = tabs[(moves[event.key] + tabs.length) % tabs.length];
    open(next);
    next.focus();
  });
});

// ----------------------------------------------------------------------------------------- bars

function makeBars(list, classes, kinds) {
  const rows = classes.map((name) => {
    const row = make("li");
    const tracks = make("div", "tracks");
    const fills = kinds.map((kind) => {
      const track = make("span", `track ${kind}`);
      tracks.append(track);
      return track.appendChild(make("i"));
    });
    const value = make("span", "value", "\u2013");
    row.append(make("span", "name", name), tracks, value);
    list.append(row);
    return { row, fills, value };
  });
  return rows;
}

function drawBars(list, rows, several, value) {
  const means = rows.map((_, k) => several.reduce((sum, p) => sum + (p ? p[k] : 0), 0));
  const order = [...means.keys()].sort((a, b) => means[b] - means[a]);
  const shown = new Set(order.slice(0, SHOWN_CLASSES));
  rows.forEach(({ row, fills, value: place }, k) => {
    fills.forEach((fill, kind) => {
      const p = several[kind]?.[k] ?? 0;
      fill.style.transform = `translateX(${100 * (p - 1)}%)`;
    });
    place.textContent = value(k);
    row.hidden = !shown.has(k);
    row.classList.toggle("best", kindsAgree(several, k));
  });
  // Few classes keep their places, so that nothing jumps while somebody types.
  if (rows.length > SHOWN_CLASSES) list.append(...order.map((k) => rows[k].row));
}

function kindsAgree(several, k) {
  return several.length === 1 && Boolean(several[0]) && bestOf(several[0]) === k;
}

// Answer the newest wish; those that came in between are never computed.
function newestOnly(answer) {
  let wish = null;
  let busy = false;
  return async (...values) => {
    wish = values;
    if (busy) return;
    busy = true;
    while (wish) {
      const now = wish;
      wish = null;
      await answer(() => wish !== null, ...now);
    }
    busy = false;
  };
}

// ------------------------------------------------------------------------------------- one text

function startOne(model) {
  const { classes } = model.about;
  const field = find("text");
  const words = find("words");
  const rows = makeBars(find("bars"), classes, [""]);
  let timer = 0;

  const explain = newestOnly(async (overtaken, prepared, number) => {
    const found = await model.occlusion(prepared, number, overtaken);
    if (!found) return;
    const largest = Math.max(0.05, ...found.falls.map(Math.abs));
    const spans = found.words.flatMap((word, place) => {
      const fall = found.falls[place];
      const span = make("span", "", word);
      const color = fall > 0 ? "--for" : "--against";
      const strength = (0.6 * Math.abs(fall)) / largest;
      if (strength > 0.03) span.style.background = `rgba(var(${color}), ${strength.toFixed(3)})`;
      const points = `${fall > 0 ? "\u2212" : "+"}${Math.abs(100 * fall).toFixed(1)} points without it`;
      span.title = points;
      return [span, " "];
    });
    words.replaceChildren(...spans);
    words.classList.remove("old");
    find("legend").hidden = false;
    find("legend-for").textContent = `for ${classes[number]}`;
    find("legend-against").textContent = `against ${classes[number]}`;
    const strongest = [...found.falls.keys()]
      .filter((place) => found.falls[place] > 0.005)
      .sort((a, b) => found.falls[b] - found.falls[a])
      .slice(0, 3)
      .map((place) => `\u201c${found.words[place]}\u201d (\u2212${(100 * found.falls[place]).toFixed(0)})`);
    find("reading").textContent = strongest.length
      ? `${classes[number]} loses most, in percentage points, without ${strongest.join(", ")}. Each word was left out once.`
      : `No single word decides: ${classes[number]} stays as probable without any of them.`;
    const first = strongest.length ? ` Most telling: ${strongest.join(", ")}.` : "";
    find("said").textContent = `${find("answer").textContent}.${first}`;
    root.dataset.explained = prepared;
    if (readySeconds) tellSpeed(model);
  });

  const show = newestOnly(async (overtaken, text) => {
    clearTimeout(timer);
    if (!text.trim()) {
      drawBars(find("bars"), rows, [null], () => "\u2013");
      find("answer").textContent = "Classes";
      words.replaceChildren();
      find("legend").hidden = true;
      find("unread").hidden = true;
      find("said").textContent = "";
      return;
    }
    const probabilities = await model.probabilities(text);
    if (overtaken()) return;
    const best = bestOf(probabilities);
    drawBars(find("bars"), rows, [probabilities], (k) => percent(probabilities[k]));
    find("answer").textContent = `${classes[best]}, ${percent(probabilities[best])}`;
    const unread = model.unread(text);
    find("unread").hidden = !unread;
    find("unread").textContent = `The text is long: its end is not read (${unread} pieces of words).`;
    words.classList.add("old");
    timer = setTimeout(() => explain(model.prepare(text), best), 250);
  });

  field.addEventListener("input", () => show(field.value));
  for (const example of model.about.examples) {
    const chip = make("button", "", example);
    chip.type = "button";
    chip.addEventListener("click", () => {
      field.value = example;
      show(example);
    });
    find("examples").append(chip);
  }
  if (!field.value && model.about.examples.length) [field.value] = model.about.examples;
  return show(field.value);
}

// ------------------------------------------------------------------------------------ two texts

function startTwo(model) {
  const { classes } = model.about;
  const fields = [find("first"), find("second")];
  const rows = makeBars(find("bars-two"), classes, ["a", "b"]);
  const one = (text) => (text.trim() ? model.probabilities(text) : null);
  const show = newestOnly(async (overtaken, ...texts) => {
    const several = [await one(texts[0]), await one(texts[1])];
    if (overtaken()) return;
    const [a, b] = several;
    drawBars(find("bars-two"), rows, several, (k) => {
      if (!a || !b) return a || b ? percent((a ?? b)[k]) : "\u2013";
      const points = (100 * (b[k] - a[k])).toFixed(1);
      return `${points > 0 ? "+" : ""}${points.replace("-", "\u2212")}`;
    });
    const said = several.map((p) => (p ? `${classes[bestOf(p)]}, ${percent(p[bestOf(p)])}` : "no text"));
    find("compared").textContent = a || b ? `A: ${said[0]} \u00b7 B: ${said[1]}` : "A and B";
    find("said-two").textContent = find("compared").textContent;
  });
  const update = () => show(...fields.map((field) => field.value));
  for (const field of fields) field.addEventListener("input", update);
  const [first, second] = model.about.pair;
  if (first && !fields[0].value && !fields[1].value) [fields[0].value, fields[1].value] = [first, second];
  return update();
}

// ----------------------------------------------------------------------------------- many lines

function startMany(model) {
  const { classes } = model.about;
  const field = find("lines");
  const body = find("table").tBodies[0];
  const lines = () => field.value.split(/\r?\n/).map((line) => line.trim()).filter(Boolean);
  let answers = [];
  let stopped = false;
  let running = false;

  const count = (n) => `${n.toLocaleString("en")} ${n === 1 ? "text" : "texts"}`;
  function ask() {
    const n = lines().length;
    find("go").disabled = !n || running;
    find("go").textContent = n ? `Classify ${count(n)}` : "Classify";
  }

  function tell(done, of, seconds) {
    const tally = classes.map((name, k) => [name, answers.filter((row) => row.best === k).length]);
    const kinds = tally.filter(([, n]) => n).sort((x, y) => y[1] - x[1]).slice(0, SHOWN_CLASSES);
    const parts = kinds.map(([name, n]) => `${name} ${n.toLocaleString("en")}`);
    const speed = done && seconds ? ` ${((1000 * seconds) / done).toFixed(1)} ms a text.` : "";
    const rest = answers.length > SHOWN_ROWS ? ` The first ${SHOWN_ROWS} are shown, the file has all.` : "";
    find("counts").textContent = `${done < of ? `${count(done)} of ${of.toLocaleString("en")}` : count(done)}: ${parts.join(", ")}.${speed}${rest}`;
  }

  async function classify() {
    const texts = lines();
    [answers, stopped, running] = [[], false, true];
    body.replaceChildren();
    ask();
    find("stop").hidden = false;
    find("save").hidden = find("copy").hidden = true;
    find("progress").hidden = find("table-box").hidden = false;
    find("progress").max = texts.length;
    const begun = performance.now();
    let yielded = begun;
    for (const text of texts) {
      const probabilities = await model.probabilities(text);
      const best = bestOf(probabilities);
      answers.push({ text, best, probabilities });
      if (answers.length <= SHOWN_ROWS) {
        const row = make("tr");
        row.append(make("td", "", classes[best]), make("td", "number", percent(probabilities[best])), make("td", "", text));
        row.lastChild.dir = "auto";
        body.append(row);
      }
      if (performance.now() - yielded > 60) {
        find("progress").value = answers.length;
        await new Promise((resolve) => setTimeout(resolve));
        yielded = performance.now();
      }
      if (stopped) break;
    }
    running = false;
    find("stop").hidden = find("progress").hidden = true;
    find("save").hidden = find("copy").hidden = false;
    tell(answers.length, texts.length, (performance.now() - begun) / 1000);
    ask();
  }

  field.addEventListener("input", ask);
  find("go").addEventListener("click", classify);
  find("stop").addEventListener("click", () => {
    stopped = true;
  });
  find("save").addEventListener("click", () => {
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([csvOf(classes, answers)], { type: "text/csv" }));
    link.download = "answers.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });
  find("copy").addEventListener("click", async () => {
    const text = csvOf(classes, answers);
    try {
      await navigator.clipboard.writeText(text);
      find("copy").textContent = "Copied";
    } catch {
      find("copy").textContent = "Not allowed here: download it";
    }
    setTimeout(() => {
      find("copy").textContent = "Copy CSV";
    }, 2_000);
  });
  ask();
  return () => csvOf(classes, answers);
}

// --------------------------------------------------------------------------------------- begin

function tellSpeed(model) {
  const each = model.milliseconds();
  find("status").lastChild.textContent =
    `Ready after ${readySeconds.toFixed(1)} s; ${each < 10 ? each.toFixed(1) : each.toFixed(0)} ms a text on this device.`;
}

async function start() {
  const model = await loadModel(carried);
  const { about } = model;
  for (const [name, value] of about.facts) find("facts").append(make("dt", "", name), make("dd", "", value));
  for (const note of about.notes) find("notes").append(make("li", "", note));
  const csv = startMany(model);
  await startOne(model);
  await startTwo(model);
  readySeconds = performance.now() / 1000;
  tellSpeed(model);
  root.dataset.state = "ready";
  window.page = { ...model, csv, readySeconds };
}

start().catch((error) => {
  root.dataset.state = "failed";
  find("status").lastChild.textContent = `The model could not be started: ${error.message}`;
});
