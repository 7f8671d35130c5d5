// The texts of an object's members, as they stand: JSON.parse would change the digits of numbers.

const SPACE = new Set([' ', '\t', '\n', '\r']);

/**
 * Names and raw texts of the members of an object. `text` is known to be valid JSON. Of two with one name the last
 * counts, as in JSON.parse.
 * @param {string} text
 * @returns {Map<string, string>}
 */
export function rawMembers(text) {
  const members = new Map();
  let at = skipSpace(text, text.indexOf('{') + 1);
  while (text[at] !== '}') {
    const nameEnd = endOfString(text, at);
    const name = JSON.parse(text.slice(at, nameEnd));
    const start = skipSpace(text, text.indexOf(':', nameEnd) + 1);
    const end = endOfValue(text, start);
    members.set(name, text.slice(start, end));
    at = skipSpace(text, end);
    if (text[at] === ',') at = skipSpace(text, at + 1);
  }
  return members;
}

/**
 * Without white space around its tokens.
 * @param {string} text valid JSON
 */
export function compact(text) {
  let result = '';
  for (let at = 0; at < text.length;) {
    if (text[at] === '"') {
      const end = endOfString(text, at);
      result += text.slice(at, end);
      at = end;
    } else {
      if (!SPACE.has(text[at])) result += text[at];
      at++;
    }
  }
  return result;
}

/**
 * @param {string} text
 * @param {number} at
 */
function skipSpace(text, at) {
  while (SPACE.has(text[at])) at++;
  return at;
}

/**
 * @param {string} text
 * @param {number} at of the opening quote
 */
function endOfString(text, at) {
  for (at++; text[at] !== '"'; at++) if (text[at] === '\\') at++;
  return at + 1;
}

/**
 * @param {string} text
 * @param {number} at
 */
function endOfValue(text, at) {
  let depth = 0;
  for (; at < text.length; at++) {
    const c = text[at];
    if (c === '"') {
      at = endOfString(text, at) - 1;
    } else if (c === '{' || c === '[') depth++;
    else if (c === '}' || c === ']') {
      if (depth-- === 0) return at;
    } else if (c === ',' && depth === 0) return at;
    else if (depth === 0 && SPACE.has(c)) return at;
    if (depth === 0 && (c === '}' || c === ']' || c === '"')) return at + 1;
  }
  return at;
}
