import { MalformedError, UnsendableError } from "./errors.js";

/** @typedef {import("./byte_reader.js").ByteReader} ByteReader */
/** @typedef {import("./byte_writer.js").ByteWriter} ByteWriter */
/** @typedef {Record<string, any>} Fields */

/**
 * How a value is written and read. `fields` are those of the record around it: all of them when writing,
 * the ones before it when reading. `undefined` is a field that is left out.
 *
 * @typedef {object} Shape
 * @property {(reader: ByteReader, fields: Fields) => any} read throws MalformedError
 * @property {(writer: ByteWriter, value: any, fields: Fields) => void} write throws UnsendableError
 */

/** @type {Shape} */
export const number = {
  read: (reader) => reader.number(),
  write: (writer, value) => writer.number(value),
};

/** @type {Shape} */
export const flag = {
  read: (reader) => reader.flag(),
  write: (writer, value) => writer.flag(value),
};

/** @type {Shape} */
export const text = {
  read: (reader) => reader.text(),
  write: (writer, value) => writer.text(value),
};

/**
 * @param {Shape} shape
 * @returns {Shape}
 */
export function optional(shape) {
  return {
    read: (reader, fields) => (reader.flag() ? shape.read(reader, fields) : undefined),
    write(writer, value, fields) {
      const isThere = value !== undefined && value !== null;
      writer.flag(isThere);
      if (isThere) shape.write(writer, value, fields);
    },
  };
}

/**
 * @param {Shape} item
 * @returns {Shape}
 */
export function list(item) {
  return {
    read(reader, fields) {
      return Array.from({ length: reader.count(1) }, () => item.read(reader, fields));
    },
    write(writer, values, fields) {
      if (!Array.isArray(values)) throw new UnsendableError(`${String(values)} is no list`);
      writer.number(values.length);
      for (const value of values) item.write(writer, value, fields);
    },
  };
}

/**
 * A list that is left out if nothing is in it.
 * @param {Shape} shape
 * @returns {Shape}
 */
export function unlessEmpty(shape) {
  return {
    read(reader, fields) {
      const values = shape.read(reader, fields);
      return values.length > 0 ? values : undefined;
    },
    write: (writer, values, fields) => shape.write(writer, values ?? [], fields),
  };
}

/**
 * One of these words, as its place among them.
 * @param {...string} words
 * @returns {Shape}
 */
export function word(...words) {
  return {
    read(reader) {
      const place = reader.number();
      if (place >= words.length) throw new MalformedError(`${place} is none of ${words.join(", ")}`);
      return words[place];
    },
    write(writer, value) {
      const place = words.indexOf(value);
      if (place < 0) throw new UnsendableError(`${String(value)} is none of ${words.join(", ")}`);
      writer.number(place);
    },
  };
}

/**
 * A reason, as its place among these words; one that only newer servers know is read as `unknown`, because
 * what it is the reason of holds all the same.
 * @param {...string} words
 * @returns {Shape}
 */
export function reason(...words) {
  const { write } = word(...words);
  return { read: (reader) => words[reader.number()] ?? "unknown", write };
}

/**
 * Fields in their order, with nothing between.
 * @param {Record<string, Shape>} shapes
 * @returns {Shape}
 */
export function record(shapes) {
  const entries = Object.entries(shapes);
  return {
    read(reader) {
      /** @type {Fields} */
      const fields = {};
      for (const [name, shape] of entries) {
        const value = shape.read(reader, fields);
        if (value !== undefined) fields[name] = value;
      }
      return fields;
    },
    write(writer, fields) {
      if (typeof fields !== "object" || fields === null) throw new UnsendableError(`${String(fields)} is no record`);
      for (const [name, shape] of entries) shape.write(writer, fields[name], fields);
    },
  };
}

/**
 * A record of one of several kinds: the kind's place among them, then its fields. The kind's name is in the
 * field `tag`. A kind that only newer servers know is read as null, and the rest of the message is skipped.
 *
 * @param {string} tag
 * @param {Record<string, Record<string, Shape>>} kinds
 * @returns {Shape}
 */
export function variant(tag, kinds) {
  const names = Object.keys(kinds);
  const records = Object.values(kinds).map(record);
  return {
    read(reader, fields) {
      const place = reader.number();
      if (place < names.length) return { [tag]: names[place], ...records[place].read(reader, fields) };
      reader.skip();
      return null;
    },
    write(writer, value, fields) {
      const place = names.indexOf(value?.[tag]);
      if (place < 0) throw new UnsendableError(`no ${tag} ${String(value?.[tag])}`);
      writer.number(place);
      records[place].write(writer, value, fields);
    },
  };
}

/**
 * One of several records, known by its first field.
 * @param {...Record<string, Shape>} alternatives
 * @returns {Shape}
 */
export function either(...alternatives) {
  const firsts = alternatives.map((shapes) => Object.keys(shapes)[0]);
  const records = alternatives.map(record);
  return {
    read(reader, fields) {
      const place = reader.number();
      if (place >= records.length) throw new MalformedError(`${place} is none of ${firsts.join(", ")}`);
      return records[place].read(reader, fields);
    },
    write(writer, value, fields) {
      const place = firsts.findIndex((first) => value?.[first] !== undefined);
      if (place < 0) throw new UnsendableError(`a record without ${firsts.join(" or ")}`);
      writer.number(place);
      records[place].write(writer, value, fields);
    },
  };
}

/**
 * Ascending numbers as the steps between them: a byte a user where many are named.
 * @type {Shape}
 */
export const ascending = {
  read(reader, fields) {
    let before = 0;
    return list(number)
      .read(reader, fields)
      .map((/** @type {number} */ step) => (before = exact(before + step)));
  },
  write(writer, values, fields) {
    let before = 0;
    const steps = values.map((/** @type {number} */ value) => {
      const step = value - before;
      before = value;
      return step;
    });
    list(number).write(writer, steps, fields);
  },
};

/**
 * Users with the second they were last heard of: ids by steps, seconds before the record's `as_of_ms`.
 * @type {Shape}
 */
export const offline = {
  read(reader, { as_of_ms }) {
    let before = 0;
    return Array.from({ length: reader.count(2) }, () => {
      before = exact(before + reader.number());
      const heard = Math.floor(as_of_ms / 1000) - reader.number();
      if (heard < 0) throw new MalformedError("last heard of before 1970");
      return [before, heard];
    });
  },
  write(writer, users, { as_of_ms }) {
    let before = 0;
    writer.number(users.length);
    for (const [user, heard] of users) {
      writer.number(user - before);
      writer.number(Math.floor(as_of_ms / 1000) - heard);
      before = user;
    }
  },
};

/** @param {number} sum */
function exact(sum) {
  if (!Number.isSafeInteger(sum)) throw new MalformedError("a number of 2^53 or more");
  return sum;
}
