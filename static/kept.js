// What this browser keeps: drafts, messages that wait, and the names of past conversations, which no server knows.
// A full or forbidden storage never breaks the chat: then nothing is kept, and a reload starts anew.

const DAY = 24 * 60 * 60 * 1000;

/** `of` is the conversation to which it belongs; null is one that has no name yet, and is its tab's alone. */
export function read(what, otherwise, of) {
  try {
    return JSON.parse(storage(of).getItem(key(what, of))) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Nothing, or an empty text or list, is removed. */
export function write(what, value, of) {
  try {
    if (value == null || value.length === 0) storage(of).removeItem(key(what, of));
    else storage(of).setItem(key(what, of), JSON.stringify(value));
  } catch {
    // Accepted: see above.
  }
}

const storage = (of) => (of === null ? sessionStorage : localStorage);
const key = (what, of) => `pocket-chat:${what}${of === undefined ? '' : `:${of ?? 'tab'}`}`;

/** The past conversations, newest first: { id, title, at }. */
export const past = () => read('conversations', []);
export const titleOf = (id) => past().find((one) => one.id === id)?.title;
const others = (id) => past().filter((one) => one.id !== id);

/** Move a conversation to the top; its first question is its title until somebody gives it a better one. */
export function touch(id, question) {
  const title = titleOf(id) ?? shorten(question);
  write('conversations', [{ id, title, at: Date.now() }, ...others(id)]);
}

export function rename(id, title) {
  write('conversations', past().map((one) => (one.id === id ? { ...one, title } : one)));
}

/** Keep nothing more of a conversation, but that the server has to hear of it. */
export function remove(id) {
  write('conversations', others(id));
  write('removed', [...read('removed', []), id]);
  for (const what of ['draft', 'waiting']) write(what, null, id);
}

/** A conversation has got its name: what was its tab's alone goes with it. */
export function settle(id) {
  for (const what of ['draft', 'waiting']) {
    write(what, read(what, null, null), id);
    write(what, null, null);
  }
}

/** The first words of a question, on one line. */
export function shorten(question) {
  const line = question.trim().replace(/\s+/g, ' ');
  const [start] = /^.{31,60}(?= |$)|^.{0,60}/u.exec(line);
  return start === line ? line : `${start}…`;
}

/** [[name of the day, conversations], ...] by the calendar of the person, not by 24 hours. */
export function byDay(conversations, now = new Date()) {
  const midnight = (date) => new Date(date).setHours(0, 0, 0, 0);
  const name = ({ at }) => {
    const days = Math.round((midnight(now) - midnight(at)) / DAY); // Rounded: some days have 23 hours.
    return days <= 0 ? 'Today' : days === 1 ? 'Yesterday' : days <= 7 ? 'Previous 7 days' : 'Earlier';
  };
  const days = new Map();
  for (const one of conversations) days.set(name(one), [...(days.get(name(one)) ?? []), one]);
  return [...days];
}
