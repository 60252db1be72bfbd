// What goes wrong is kept on the root element, where tests and readers of bug reports find it.
const root = document.documentElement;

function noteError(message) {
  root.dataset.errors = root.dataset.errors ? `${root.dataset.errors} | ${message}` : message;
}

window.addEventListener("error", (event) => noteError(event.message));
document.addEventListener("securitypolicyviolation", (event) => noteError(`${event.violatedDirective} ${event.blockedURI}`));
