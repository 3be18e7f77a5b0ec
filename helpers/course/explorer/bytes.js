// What the vocabulary's characters stand for; the page needs it as well as the models' worker.

// Bytes that are no printable characters stand in the vocabulary as characters from 256 on.
function byteCharacters() {
  const printable = (b) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
  const characters = [];
  let next = 256;
  for (let b = 0; b < 256; b++) characters.push(String.fromCodePoint(printable(b) ? b : next++));
  return characters;
}
