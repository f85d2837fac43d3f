/**
 * Event files as TensorBoard reads them: TFRecords, each a length, its checksum, a protocol buffer `Event` and its
 * checksum. Formats: tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto,
 * tensorflow/core/framework/summary.proto. (No package on npm writes them.)
 */
import { crc32 } from "../diagnosis/crc.ts";

/** Scalars of one step. */
export interface ScalarEvent {
  step: number;
  /** Seconds since 1970. */
  wallTime: number;
  /** By tag; float32 in the file. */
  scalars: Iterable<readonly [string, number]>;
}

export function encodeEvents(events: Iterable<ScalarEvent>): Uint8Array {
  const version = Buffer.concat([double(1, 0), bytes(3, Buffer.from("brain.Event:2"))]);
  return Buffer.concat([version, ...Array.from(events, encodeEvent)].flatMap(record));
}

/** Event: wall_time = 1, step = 2, summary = 5; Summary: value = 1; Value: tag = 1, simple_value = 2. */
function encodeEvent({ step, wallTime, scalars }: ScalarEvent): Buffer {
  const values = Array.from(scalars, ([tag, value]) =>
    bytes(1, Buffer.concat([bytes(1, Buffer.from(tag)), float(2, value)])),
  );
  return Buffer.concat([double(1, wallTime), integer(2, step), bytes(5, Buffer.concat(values))]);
}

function record(data: Buffer): Buffer[] {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(data.length));
  return [length, checksum(length), data, checksum(data)];
}

/** Masked, as these files have it: the checksum of what holds checksums is a poor one. */
function checksum(data: Uint8Array): Buffer {
  const crc = crc32c(data);
  const masked = Buffer.alloc(4);
  masked.writeUInt32LE((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0);
  return masked;
}

/** CRC-32C (Castagnoli); node:zlib has another polynomial. */
export const crc32c = crc32(0x82f63b78);

// Fields of a protocol buffer: number and wire type, then the value.

const integer = (field: number, value: number) => Buffer.from([field << 3, ...varint(value)]);

function double(field: number, value: number): Buffer {
  const encoded = Buffer.alloc(9, (field << 3) | 1);
  encoded.writeDoubleLE(value, 1);
  return encoded;
}

const bytes = (field: number, value: Buffer) =>
  Buffer.concat([Buffer.from([(field << 3) | 2, ...varint(value.length)]), value]);

function float(field: number, value: number): Buffer {
  const encoded = Buffer.alloc(5, (field << 3) | 5);
  encoded.writeFloatLE(value, 1);
  return encoded;
}

/** Seven bits a byte, the lowest first; all but the last have the highest bit. */
const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))];
