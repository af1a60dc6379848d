// Charts, copying, the theme, clocks that count down, and the key "/", which searches. Data comes from attributes; nothing here decides.
const charts = new Map();
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
function draw(root) {
  for (const figure of root.querySelectorAll("[data-series]")) {
    const kinds = [
      ["Events", "--muted"],
      ["Pending", "--warn"],
      ["Delivered", "--accent"],
      ["Failed", "--bad"],
      ["Stopped", "--stopped"],
      ["Cancelled", "--line"],
    ];
    const axis = { stroke: css("--muted"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false } };
    charts.get(figure)?.destroy();
    const chart = new uPlot(
      {
        width: figure.clientWidth - 24,
        height: 200,
        legend: { live: false },
        axes: [axis, axis],
        scales: { y: { range: (_, low, high) => [0, Math.max(4, high * 1.1)] } },
        series: [
          {},
          ...kinds.map(([label, name]) => ({
            label,
            stroke: css(name),
            fill: label === "Delivered" ? css("--soft") : undefined,
            width: 1.5,
            points: { show: false },
          })),
        ],
      },
      JSON.parse(figure.dataset.series),
      figure,
    );
    charts.set(figure, chart);
  }
}
draw(document);
addEventListener("resize", () => {
  for (const [figure, chart] of charts) chart.setSize({ width: figure.clientWidth - 24, height: 200 });
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
