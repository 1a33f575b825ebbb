// A classic script in the head: it runs before the first paint, so that the colours somebody chose do not flash.
try {
  document.documentElement.dataset.theme = JSON.parse(localStorage.getItem('pocket-chat:theme')) ?? 'system';
} catch {
  document.documentElement.dataset.theme = 'system'; // Accepted: where nothing can be kept, no choice is.
}
