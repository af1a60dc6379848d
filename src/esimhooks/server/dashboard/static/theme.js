// Before the first paint: the theme that was chosen, otherwise the system's. In a frame of another site a browser may deny
// storage; then what is chosen lasts as long as the page.
const remembered = {
  get(name) {
    try {
      return localStorage.getItem(name);
    } catch {
      return this[name] ?? null;
    }
  },
  // Only for this tab, and gone with it; null forgets.
  tab(name, value) {
    try {
      if (value === null) sessionStorage.removeItem(name);
      else if (value !== undefined) sessionStorage.setItem(name, value);
      return sessionStorage.getItem(name);
    } catch {
      return null;
    }
  },
  set(name, value) {
    try {
      localStorage.setItem(name, value);
    } catch {
      this[name] = value;
    }
  },
};
if (remembered.get("theme")) document.documentElement.dataset.theme = remembered.get("theme");
