// Charts, copying, the theme, and the key "/". Data comes from attributes; nothing here decides.
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
function draw(root) {
  for (const figure of root.querySelectorAll("[data-series]")) {
    const kinds = [["Events", "--muted"], ["Pending", "--warn"], ["Delivered", "--accent"], ["Failed", "--bad"], ["Stopped", "--stopped"], ["Cancelled", "--line"]];
    const axis = { stroke: css("--muted"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false } };
    figure.replaceChildren();
    new uPlot({ width: figure.clientWidth - 24, height: 200, legend: { show: true }, axes: [axis, axis],
      scales: { y: { range: (_, low, high) => [0, Math.max(4, high * 1.1)] } },
      series: [{ label: "Time" }, ...kinds.map(([label, name]) => ({ label, stroke: css(name), width: 1.5, points: { show: false } }))] },
      JSON.parse(figure.dataset.series), figure);
  }
}
draw(document);
document.body.addEventListener("htmx:afterSwap", (event) => draw(event.target));
document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.detail.requestConfig.headers["X-Live"]) event.preventDefault();
});
document.addEventListener("click", (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) navigator.clipboard?.writeText(document.getElementById(copy.dataset.copy).textContent).then(() => { copy.textContent = "Copied"; });
  if (event.target.closest("[data-theme-toggle]")) {
    const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("theme", dark ? "light" : "dark");
    draw(document);
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.closest("input, select, textarea")) return;
  const field = document.querySelector(".filters input:not([type=hidden])");
  if (field) { event.preventDefault(); field.focus(); }
});
