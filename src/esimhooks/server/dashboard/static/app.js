// Charts, copying, theme, time zone, clocks, and the key "/", which searches. Data comes from attributes; nothing is decided here.
const charts = new Map();
const hiddenLines = new Set();
const probe = document.createElement("i");
probe.hidden = true;
document.body.append(probe);
const css = (name) => {
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
};
// A dash of its own beside the colour: lines can be told apart without seeing colours.
const dashes = {
  events: [2, 3],
  retrying: [8, 3],
  pending: [1, 3],
  delivered: [],
  failed: [12, 4],
  stopped: [6, 2, 2, 2],
  cancelled: [3, 6],
};
// What became of a provider's notifications is drawn as what is alike among deliveries.
const alike = { applied: "delivered", unmatched: "retrying", invalid: "failed", unchanged: "events", duplicate: "cancelled", stale: "stopped", ignored: "pending" };
const lineOf = (label) => {
  const line = alike[label] ?? label;
  return [`--line-${line}`, dashes[line]];
};
const inUtc = () => remembered.get("zone") === "utc";
const zone = () => (inUtc() ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone);
const exact = (at, options) => new Intl.DateTimeFormat("sv-SE", { timeZone: zone(), ...options }).format(at);
const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
const day = { year: "numeric", month: "2-digit", day: "2-digit" };

function showTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const isToday = exact(at, day) === exact(new Date(), day);
    const text = isToday ? exact(at, clock) : exact(at, { ...day, ...clock });
    time.title = `${exact(at, { ...day, ...clock })} ${zone()}`;
    const small = time.querySelector("small");
    if (small) small.textContent = inUtc() ? `${text} UTC` : text;
  }
  for (const button of document.querySelectorAll("[data-zone]")) button.textContent = inUtc() ? button.dataset.utc : button.dataset.local;
}

function tick(seconds, width) {
  const at = new Date(seconds * 1000);
  const time = exact(at, { hour: "2-digit", minute: "2-digit" });
  return width >= 86400 || time === "00:00" ? exact(at, { month: "2-digit", day: "2-digit" }) : time;
}

function spanOf(edges) {
  const seconds = edges[1] - edges[0];
  return seconds >= 3600 ? `${seconds / 3600} h` : `${seconds / 60} min`;
}

function dataOf(figure) {
  const [edges, ...values] = JSON.parse(figure.dataset.series);
  // Each number is of the time from its edge to the next; the last one is drawn as wide as the others. A line of nothing
  // but zeros is not drawn.
  const drawn = (one) => (one.some(Boolean) ? [...one, one.at(-1)] : [...one, 0].fill(null));
  return [[...edges, 2 * edges.at(-1) - edges.at(-2)], ...values.map(drawn)];
}

const sum = (numbers) => numbers.reduce((all, one) => all + one, 0);
function seriesOf(figure) {
  const names = figure.dataset.names.split("\n");
  return JSON.parse(figure.dataset.labels).map((label, place) => ({
    label: names[place],
    key: label,
    value: (_, at, __, index) => (index === null ? sum(JSON.parse(figure.dataset.series)[place + 1]) : (at ?? 0)).toLocaleString(document.documentElement.lang),
    show: !hiddenLines.has(`${figure.dataset.chart} ${label}`),
    stroke: css(lineOf(label)[0]),
    dash: lineOf(label)[1],
    fill: label === "delivered" && !matchMedia("(forced-colors: active)").matches ? css("--good-fill") : undefined,
    width: 2,
    paths: uPlot.paths.stepped({ align: 1 }),
    points: { show: false },
  }));
}

// A piece of a line as the chart draws it.
function sampleOf({ key }) {
  const [color, dash] = lineOf(key);
  const element = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
    return made;
  };
  const sample = element("svg", { viewBox: "0 0 26 10", width: 26, height: 10, "aria-hidden": "true" });
  sample.append(element("line", { x1: 0, y1: 5, x2: 26, y2: 5, stroke: css(color), "stroke-dasharray": dash.join(" ") }));
  return sample;
}

function legend(figure, chart) {
  const rows = figure.querySelectorAll(".u-legend .u-series");
  rows.forEach((row, index) => {
    if (index === 0) return;
    row.querySelector(".u-marker").replaceChildren(sampleOf(chart.series[index]));
    const button = row.querySelector("th");
    button.tabIndex = 0;
    button.setAttribute("role", "button");
    button.setAttribute("aria-pressed", String(chart.series[index].show));
    button.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        chart.setSeries(index, { show: !chart.series[index].show });
      }
    });
  });
}

function draw(figure) {
  charts.get(figure)?.destroy();
  const data = dataOf(figure);
  const grid = { stroke: css("--line"), width: 1 };
  const axis = { stroke: css("--muted"), grid, ticks: { show: false }, labelSize: 18, labelFont: "12px sans-serif" };
  const chart = new uPlot(
    {
      width: figure.clientWidth - 24,
      height: 220,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone()),
      cursor: { drag: { x: false } },
      legend: { live: true },
      axes: [
        { ...axis, label: `${zone()} · ${spanOf(data[0])}`, size: 26, values: (_, at, __, ___, width) => at.map((one) => tick(one, width)) },
        { ...axis, size: 56, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4] },
      ],
      scales: { y: { range: (_, low, high) => [0, Math.max(4, high * 1.1)] } },
      series: [{ label: "", value: (_, at, __, index) => (index === null ? figure.dataset.total : exact(new Date(at * 1000), { ...day, hour: "2-digit", minute: "2-digit" })) }, ...seriesOf(figure)],
      hooks: {
        setSeries: [
          (one, index) => {
            if (!index) return;
            const name = `${figure.dataset.chart} ${one.series[index].key}`;
            if (one.series[index].show) hiddenLines.delete(name);
            else hiddenLines.add(name);
            one.root.querySelectorAll(".u-legend .u-series th")[index].setAttribute("aria-pressed", String(one.series[index].show));
          },
        ],
      },
    },
    data,
    figure.querySelector(".plot"),
  );
  legend(figure, chart);
  charts.set(figure, chart);
}

// With the arrow keys the values of a chart are read one step after the other.
function readAlong(event) {
  const figure = event.target.closest?.("[data-chart]");
  const chart = charts.get(figure);
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!chart || !step || event.target !== figure) return;
  event.preventDefault();
  const last = chart.data[0].length - 2;
  const index = Math.min(last, Math.max(0, (chart.cursor.idx ?? last + 1) + step));
  chart.setCursor({ left: chart.valToPos(chart.data[0][index], "x") + 1, top: 10 });
}

function drawAll(root) {
  for (const [figure, chart] of charts) {
    if (figure.isConnected) continue;
    chart.destroy();
    charts.delete(figure);
  }
  for (const figure of root.querySelectorAll("[data-chart]")) {
    figure.tabIndex = 0;
    const chart = charts.get(figure);
    const labels = JSON.parse(figure.dataset.labels).join();
    if (chart && chart.series.slice(1).map((one) => one.key).join() === labels) chart.setData(dataOf(figure));
    else draw(figure);
  }
  showTimes(root);
}

// A refresh leaves alone what the person has opened, typed or chosen, and charts, which get their new data afterwards.
Idiomorph.defaults.ignoreActiveValue = true;
Idiomorph.defaults.callbacks = {
  ...Idiomorph.defaults.callbacks,
  beforeNodeMorphed: (old) => !old.classList?.contains("plot"),
  beforeAttributeUpdated: (name, node) => !(name === "open" && node.tagName === "DETAILS") && name !== "tabindex",
};

async function copyFrom(button) {
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = document.body.dataset.copied;
  } catch {
    // Without https a page may not write to the clipboard: the text is selected, so that it can be copied by hand.
    getSelection().selectAllChildren(source);
    button.textContent = document.body.dataset.select;
  }
}

function changeTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  remembered.set("theme", root.dataset.theme);
  for (const figure of charts.keys()) draw(figure);
}

document.addEventListener("click", (event) => {
  const at = (selector) => event.target.closest(selector);
  if (at("[data-copy]")) copyFrom(at("[data-copy]"));
  if (at("[data-back]")) history.back();
  if (at("[data-close]")) {
    const confirm = at("details");
    confirm.open = false;
    confirm.querySelector("summary").focus();
  }
  if (at("[data-choose-all]")) {
    const boxes = [...at("form").querySelectorAll('input[name="delivery"]')];
    const all = boxes.every((box) => box.checked);
    for (const box of boxes) box.checked = !all;
  }
  if (at("[data-theme-toggle]")) changeTheme();
  if (at("[data-zone]")) {
    remembered.set("zone", inUtc() ? "local" : "utc");
    showTimes(document);
    for (const figure of charts.keys()) draw(figure);
  }
});
document.addEventListener("keydown", (event) => {
  readAlong(event);
  if (event.key === "Escape") event.target.closest?.("details.confirm[open]")?.querySelector("[data-close]")?.click();
  if (event.key !== "/" || event.target.closest("input, select, textarea")) return;
  const field = document.getElementById("find");
  if (field) {
    event.preventDefault();
    field.focus();
  }
});
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  typed.keep(event.target);
  // A second click makes no second key; one that comes back by the browser's history can be pressed again.
  for (const button of event.target.querySelectorAll("button:not([type], [disabled])")) {
    button.dataset.pressed = "";
    setTimeout(() => (button.disabled = true));
  }
});
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button[data-pressed]")) {
    delete button.dataset.pressed;
    button.disabled = false;
  }
});
addEventListener("resize", () => {
  for (const [figure, chart] of charts) chart.setSize({ width: figure.clientWidth - 24, height: 220 });
});
document.body.addEventListener("htmx:afterSwap", (event) => drawAll(event.detail.target));
document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.detail.requestConfig.headers["X-Live"]) event.preventDefault();
});
// What is live says so when it no longer is; the next answer takes the notice away.
const stale = Object.assign(document.createElement("p"), { className: "advice bad", role: "alert" });
stale.textContent = document.body.dataset.stale;
document.body.addEventListener("htmx:afterRequest", (event) => {
  if (!event.detail.requestConfig.headers["X-Live"]) return;
  if (event.detail.successful) stale.remove();
  else if (!stale.isConnected) document.getElementById("main").prepend(stale);
});

// What was typed into a form whose session had ended is there again after signing in, but no secrets: these stay fields of
// the type password, which are left out.
const typed = {
  get: () => JSON.parse(remembered.tab("typed") ?? "null"),
  keep(form) {
    const fields = [...new FormData(form)].filter(([name, value]) => name !== "csrf" && typeof value === "string");
    const secret = form.querySelector('[type="password"]');
    if (!secret && fields.length) remembered.tab("typed", JSON.stringify({ page: location.pathname + location.search, action: form.action, fields }));
  },
  restore() {
    const { page, action, fields } = typed.get() ?? {};
    if (page !== location.pathname + location.search || !remembered.tab("ended")) return;
    const form = [...document.forms].find((one) => one.action === action && one.method === "post");
    for (const field of form?.elements ?? []) {
      const values = fields.filter(([name]) => name === field.name).map(([, value]) => value);
      if (field.name === "csrf" || field.type === "hidden") continue;
      if (field.type === "checkbox") field.checked = values.includes(field.value);
      else if (values.length) field.value = values[0];
    }
  },
};
if (document.querySelector(".sign-in")) remembered.tab("ended", "yes");
else {
  typed.restore();
  remembered.tab("typed", null);
  remembered.tab("ended", null);
}

function countDown() {
  for (const clock of document.querySelectorAll("[data-ends]")) {
    const left = Math.max(0, Math.round((new Date(clock.dataset.ends) - Date.now()) / 1000));
    const parts = [left / 3600, (left / 60) % 60, left % 60].map((part) => String(Math.floor(part)).padStart(2, "0"));
    clock.textContent = left ? parts.join(":") : clock.dataset.ended;
  }
}
countDown();
setInterval(countDown, 1000);
document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
drawAll(document);
document.querySelector("form[data-submit]")?.requestSubmit();
