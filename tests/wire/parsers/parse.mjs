// Reads paths, one a line, and writes how WHATWG URL reads each, decoded: hexadecimal, or - if it is refused.
import { readFileSync } from "node:fs";

for (const line of readFileSync(0, "latin1").split("\n").slice(0, -1)) {
  try {
    const path = new URL(line, "http://app").pathname;
    const bytes = path.replace(/%([0-9a-f]{2})/gi, (_, digits) => String.fromCharCode(parseInt(digits, 16)));
    console.log(Buffer.from(bytes, "latin1").toString("hex"));
  } catch {
    console.log("-");
  }
}
