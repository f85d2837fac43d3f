/** Cyclic redundancy checks of 32 bits, reflected. */

/** @param polynomial reflected: 0xedb88320 of zip files, 0x82f63b78 of Castagnoli */
export function crc32(polynomial: number): (data: Uint8Array) => number {
  const ofByte = Int32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? polynomial : 0);
    return crc;
  });
  return (data) => {
    let crc = ~0;
    for (const byte of data) crc = (crc >>> 8) ^ ofByte[(crc ^ byte) & 255];
    return ~crc >>> 0;
  };
}
