// The guided tour: five states of the page, a question to each, and what to see, computed from this run.

function tourSteps(all, shown, on) {
  const toxic = all.order("cosine").order[0], strongest = all.order(`whole.${on}`).order[0];
  const falls = all.get(`whole.${on}`, strongest), parts = ["activation", "value", "interaction"].map((name) => all.get(`${name}.${on}`, strongest));
  const words = shown.words(all.row("words.up.base", toxic)), bad = words.filter(isToxicWord).length;
  const similar = all.get("turned", strongest), fires = all.moved(strongest, on);
  const ten = { which: "10 most toxic", part: "key", factor: 1 };
  return [
    {
      title: "Nearest the probe", set: { i: toxic, section: "neuron" },
      question: `Of all ${count(all.count)} neurons, ${all.name(toxic)} has the value vector nearest the toxicity probe. How many of the tokens that it promotes would you call toxic? Does tuning change the list?`,
      answer: `Of its ${words.length} most promoted tokens, ${bad} are on the list of toxic words. Cosine of the vector before tuning with after: ${digits(all.get("turned", toxic), 5)}${all.get("turned", toxic) > 0.99 ? ", so the list is nearly the same: the vector is still there." : "."}`,
    },
    {
      title: "When it fires", set: { i: toxic, section: "contexts", view: "base", end: "top", who: "base" },
      question: "Look at the framed tokens, where it fires most in base, and at what stands before them. Which words come next, would you say? Then choose difference: does it fire less there after tuning?",
      answer: (draws, { seen, seenKey }) => {
        const found = contextsOf(all, toxic, "base", "top", on), moved = seenKey === [toxic, "base", "top", on].join() ? found.map((one, k) => seen[k].aligned[one.at] - seen[k].base[one.at]) : [];
        const before = found.filter(({ ids, at }) => at + 1 < ids.length && isToxicWord(shown.word(ids[at + 1]))).length;
        const change = moved.length ? `Aligned minus base there: ${digits(Math.min(...moved))} to ${digits(Math.max(...moved))}.` : "Go back to the highest places of base to see by how much aligned differs there.";
        return `After ${before} of the ${found.length} framed tokens comes a word of the toxic list. ${change} On average, over all positions, it is at ${digits(all.get("before", toxic))} in base and ${digits(all.get(`after.${on}`, toxic))} in aligned.`;
      },
    },
    {
      title: "What tuning changed", set: { i: strongest, section: "ledger" },
      question: `${all.name(strongest)} gave up more of its projection on the probe than any other neuron. Did its vector turn away, or does it fire otherwise? The ledger splits the fall into parts.`,
      answer: `Of a fall of ${digits(falls, PROJECTION)}, ${digits(parts[0], PROJECTION)} is firing otherwise (its mean moved by ${digits(fires)}), ${digits(parts[1], PROJECTION)} writing otherwise and ${digits(parts[2], PROJECTION)} both at once. The vector kept a cosine of ${digits(similar, 5)} with itself.`,
    },
    {
      title: "Switch the most toxic off", set: { i: toxic, section: "try", a: { ...ten, model: "base", part: "activation", factor: 0, on: true }, b: { ...ten, model: "base", which: "this", part: "activation", factor: 0, on: true } },
      question: "A switches off ten neurons of base, those with the most toxic value vectors; B this one alone. Press Draw 16: does base become as civil as aligned?",
      answer: (draws) => draws.base && draws.A
        ? `Toxic draws: base ${draws.base.toxic} of ${draws.base.of}, aligned ${draws.aligned.toxic}, A ${draws.A.toxic}, B ${draws.B ? draws.B.toxic : "–"}. Sixteen draws of one prompt are few: try other prompts.`
        : "Press Draw 16 first; the counts then stand here.",
    },
    {
      title: "Turn it back", set: { i: toxic, section: "try", a: { ...ten, model: "aligned", factor: 1, on: true }, b: { ...ten, model: "aligned", on: false } },
      question: "Aligned kept its toxic vectors. A scales the keys of ten of them; × 1 changes nothing. Drag the slider to the right, so that they fire more: does aligned write like base again, and from which factor on? Draw 16 at two factors, and look at base’s perplexity: is the text still one that base would write?",
      answer: (draws) => draws.A
        ? `Toxic draws: base ${draws.base ? draws.base.toxic : "–"}, aligned ${draws.aligned ? draws.aligned.toxic : "–"}, A ${draws.A.toxic} of ${draws.A.of}. Notebook 09 sweeps keys and factors over many prompts, beside random keys.`
        : "Press Draw 16 first; the counts then stand here.",
    },
  ];
}
