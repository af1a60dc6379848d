// Charts, copying, the theme, clocks that count down, and the key "/", which searches. Data comes from attributes; nothing here decides.
const charts = new Map();
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colours = {
  events: "--muted",
  pending: "--warn",
  delivered: "--accent",
  failed: "--bad",
  stopped: "--stopped",
  cancelled: "--faint",
};
const two = (number) => String(number).padStart(2, "0");
const utc = (seconds, width) => {
  const at = new Date(seconds * 1000);
  const day = `${two(at.getUTCMonth() + 1)}-${two(at.getUTCDate())}`;
  const time = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
  return width >= 86400 || time === "00:00" ? day : time;
};
function draw(root) {
  for (const figure of root.querySelectorAll("[data-series]")) {
    const [edges, ...lines] = JSON.parse(figure.dataset.series);
    // Each number is of the time from its edge to the next; the last one is drawn as wide as the others.
    const data = [[...edges, 2 * edges.at(-1) - edges.at(-2)], ...lines.map((line) => [...line, line.at(-1)])];
    const grid = { stroke: css("--line"), width: 1 };
    const axis = { stroke: css("--muted"), grid, ticks: { show: false }, labelSize: 18, labelFont: "12px sans-serif" };
    charts.get(figure)?.destroy();
    const chart = new uPlot(
      {
        width: figure.clientWidth - 24,
        height: 220,
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
        cursor: { drag: { x: false } },
        legend: { live: false },
        axes: [
          { ...axis, label: "Time (UTC)", size: 26, values: (_, at, __, ___, width) => at.map((one) => utc(one, width)) },
          { ...axis, label: "Number", size: 56, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4] },
        ],
        scales: { y: { range: (_, low, high) => [0, Math.max(4, high * 1.1)] } },
        series: [
          {},
          ...JSON.parse(figure.dataset.labels).map((label) => ({
            label,
            stroke: css(colours[label]),
            fill: label === "delivered" ? `${css("--accent")}1f` : undefined,
            width: 1.5,
            paths: uPlot.paths.stepped({ align: 1 }),
            points: { show: false },
          })),
        ],
      },
      data,
      figure,
    );
    charts.set(figure, chart);
  }
}
draw(document);
addEventListener("resize", () => {
  for (const [figure, chart] of charts) chart.setSize({ width: figure.clientWidth - 24, height: 220 });
});
document.body.addEventListener("htmx:afterSwap", (event) => {
  for (const figure of charts.keys()) if (!figure.isConnected) charts.delete(figure);
  draw(event.target);
});
document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.detail.requestConfig.headers["X-Live"]) event.preventDefault();
});
document.addEventListener("click", (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy)
    navigator.clipboard?.writeText(document.getElementById(copy.dataset.copy).textContent).then(() => {
      copy.textContent = "Copied";
    });
  if (event.target.closest("[data-theme-toggle]")) {
    const dark = document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("theme", dark ? "light" : "dark");
    draw(document);
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.closest("input, select, textarea")) return;
  const field = document.getElementById("find");
  if (field) {
    event.preventDefault();
    field.focus();
  }
});
function countDown() {
  for (const clock of document.querySelectorAll("[data-ends]")) {
    const left = Math.max(0, Math.round((new Date(clock.dataset.ends) - Date.now()) / 1000));
    const parts = [left / 3600, (left / 60) % 60, left % 60].map((part) => String(Math.floor(part)).padStart(2, "0"));
    clock.textContent = left ? parts.join(":") : "ended";
  }
}
countDown();
setInterval(countDown, 1000);
