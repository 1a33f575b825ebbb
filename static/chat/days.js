// Past conversations by day. Pure.

const DAY = 24 * 60 * 60 * 1000;

/**
 * Conversations with the name of their day, by the calendar of the person, not by 24 hours.
 * @template {{ at: number }} Item
 * @param {Item[]} items
 * @param {Date} [now]
 * @returns {[string, Item[]][]}
 */
export function byDay(items, now = new Date()) {
  /** @type {Map<string, Item[]>} */
  const days = new Map();
  for (const item of items) {
    const day = dayOf(item.at, now);
    const others = days.get(day);
    if (others) others.push(item);
    else days.set(day, [item]);
  }
  return [...days];
}

/** @type {(at: number, now: Date) => string} */
function dayOf(at, now) {
  // Rounded, because some days have 23 hours.
  const days = Math.round((midnight(now) - midnight(at)) / DAY);
  if (days <= 0) return 'Today';
  if (days === 1) return 'Yesterday';
  return days <= 7 ? 'Previous 7 days' : 'Earlier';
}

/** @param {number | Date} date */
const midnight = (date) => new Date(date).setHours(0, 0, 0, 0);
