/** 1 in the builds whose loops are laid out for 256-bit registers, else 0; asconfig.json says which. */
declare const WIDE: i32;
