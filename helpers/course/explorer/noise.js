// The noise that sampling adds to logits, number by number as PyTorch's generator on a processor draws it, so
// that the page and the notebooks write the same texts: SHA-256 of (seed, names), Mersenne Twister, Gumbel.

function sha256(message) {
  const turn = (x, n) => (x >>> n) | (x << (32 - n));
  const primes = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
  const part = (x) => ((x - Math.floor(x)) * 2 ** 32) | 0;
  const k = primes.map((p) => part(Math.cbrt(p)));
  const h = primes.slice(0, 8).map((p) => part(Math.sqrt(p)));
  const bytes = new TextEncoder().encode(message);
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64);
  padded.set(bytes);
  padded[bytes.length] = 128;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 4, bytes.length * 8);
  for (let block = 0; block < padded.length; block += 64) {
    const w = Array.from({ length: 16 }, (_, i) => view.getInt32(block + 4 * i));
    for (let i = 16; i < 64; i++) {
      const a = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ (w[i - 15] >>> 3);
      const b = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ (w[i - 2] >>> 10);
      w[i] = (w[i - 16] + a + w[i - 7] + b) | 0;
    }
    const s = [...h];
    for (let i = 0; i < 64; i++) {
      const one = (s[7] + (turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i]) | 0;
      const two = ((turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]))) | 0;
      s.pop();
      s.unshift((one + two) | 0);
      s[4] = (s[4] + one) | 0;
    }
    for (let i = 0; i < 8; i++) h[i] = (h[i] + s[i]) | 0;
  }
  return h;
}

class Twister {
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = seed;
    for (let i = 1; i < 624; i++) {
      const last = this.state[i - 1];
      this.state[i] = Math.imul(1812433253, last ^ (last >>> 30)) + i;
    }
    this.at = 624;
  }

  next() {
    const s = this.state;
    if (this.at === 624) {
      for (let i = 0; i < 624; i++) {
        const y = (s[i] & 0x80000000) | (s[(i + 1) % 624] & 0x7fffffff);
        s[i] = s[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      this.at = 0;
    }
    let y = s[this.at++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  uniform() { // the low 53 bits of two draws
    const high = this.next() & 0x1fffff, low = this.next();
    return (high * 2 ** 32 + low) / 2 ** 53;
  }
}

// What Python's json.dumps makes of a text: beyond ASCII, an escape per UTF-16 unit.
const asJson = (text) =>
  JSON.stringify(text).replace(/[\u007f-\uffff]/g, (c) =>
    c === "\u007f" ? c : "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));

function noiseStream(seed, name) {
  const [first, second] = sha256(`[${seed}, "gumbel", ${asJson(name)}]`);
  const little = (x) => ((x & 255) << 24 | (x >>> 8 & 255) << 16 | (x >>> 16 & 255) << 8 | x >>> 24) >>> 0;
  // The eight first bytes as one little-endian number, halved; the generator takes its low 32 bits.
  const twister = new Twister(((little(first) >>> 1) | ((little(second) & 1) << 31)) >>> 0);
  return (size) =>
    Float32Array.from({ length: size }, () => -Math.log(-Math.log(Math.max(twister.uniform(), 2 ** -1022))));
}
