// Filtering a list by what a person types. Pure.

/**
 * The items in whose title each word of the query occurs, whatever its case and its accents.
 * @template {{ title: string }} Item
 * @param {Item[]} items
 * @param {string} query
 * @returns {Item[]}
 */
export function matching(items, query) {
  const words = fold(query).split(/\s+/).filter(Boolean);
  if (words.length === 0) return items;
  return items.filter(({ title }) => {
    const folded = fold(title);
    return words.every((word) => folded.includes(word));
  });
}

/**
 * Accents are marks of their own once a text is decomposed, and ß is SS.
 * @param {string} text
 */
const fold = (text) => text.normalize('NFKD').replace(/\p{M}/gu, '').toUpperCase();
