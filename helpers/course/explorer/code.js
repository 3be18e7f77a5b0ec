// A view as a notebook's cell: Python that opens the explorer at it, and writes the page's texts again.

// JSON's strings are Python's too; its true and its null are not, and none is written here.
const python = (value) => JSON.stringify(value);
const float = (value) => (Number.isInteger(value) ? value.toFixed(1) : String(value));

function neuronsAsCode(all, i, on, policy, { which, model }) {
  const word = which.trim(), most = /^(\d{1,4}) most toxic$/.exec(word);
  const name = (one) => { const { layer, index } = all.place(one); return `Neuron(${layer}, ${index})`; };
  if (word === "this") return `[${name(i)}]`;
  if (most) return `lab.measures.toxic_neurons(models[${python(model)}], ${Math.max(1, Number(most[1]))})`;
  if (all.told.all.groups.includes(word))
    return `neurons_of(lab.attribution.attribute(${python(policy)}, shared=${on === "shared" ? "True" : "False"}).groups()[${python(word)}])`;
  const named = [...new Set(word.split(/[,;\s]+/).filter(Boolean))].map((one) => all.parse(one).i);
  return `[${named.map(name).join(", ")}]`;
}

// `name`: the prompt's, which the chances go by. Edits that are off, or that name no neuron, are left out.
function asCode(all, { i, on, view, text, seed, name, edits }) {
  const policy = all.told.policy;
  const edit = (one) => `{"model": ${python(one.model)}, "part": ${python(one.part)}, "which": ${python(one.which)}, "factor": ${float(one.factor)}}`;
  const asked = [["neuron", python(all.name(i))], ["text", python(text)], ["seed", seed], ["shared", on === "shared" ? "True" : "False"]];
  if (view === "difference") asked.push(["mode", python(view)]);
  edits.forEach(([, one], at) => asked.push([["first", "second"][at], edit(one)]));
  const bodies = edits.map(([, one]) => neuronsAsCode(all, i, on, policy, one)).join(" ");
  const ways = [["activation", "scale_activations"], ["key", "scale_keys"]].filter(([part]) => edits.some(([, one]) => one.part === part)).map(([, name]) => name);
  return [
    "from helpers.language.generation import continue_prompts",
    "from helpers.language.texts import Prompt",
    ...(bodies.includes("neurons_of(") ? ["from helpers.mechanism.attribution import neurons_of"] : []),
    ...(ways.length ? [`from helpers.mechanism.interventions import ${ways.join(", ")}`] : []),
    ...(bodies.includes("Neuron(") ? ["from helpers.mechanism.vectors import Neuron"] : []),
    "from helpers.teaching.explorer import NeuronExplorer",
    "",
    "explorer = NeuronExplorer(",
    "    lab,",
    `    policy=${python(policy)},`,
    ...asked.map(([key, value]) => `    ${key}=${value},`),
    ")",
    "",
    "# The same by hand: what the page's rows say, from the same chances.",
    `models = {"base": lab.base, "aligned": lab.statistics.model(${python(policy)})}`,
    `prompt = Prompt(id=${python(name)}, text=${python(text)}, group="")`,
    "",
    "",
    "def write(model):",
    '    """What a model writes as it is now."""',
    `    return continue_prompts(model, [prompt], lab.profile.decoding, seed=${seed}, batch_size=1).texts[0]`,
    "",
    "",
    "written = {who: write(model) for who, model in models.items()}",
    ...edits.flatMap(([label, one]) => [
      `with ${one.part === "key" ? "scale_keys" : "scale_activations"}(models[${python(one.model)}], ${neuronsAsCode(all, i, on, policy, one)}, ${float(one.factor)}):`,
      `    written[${python(label)}] = write(models[${python(one.model)}])`,
    ]),
    "explorer.snapshot()",
    "",
  ].join("\n");
}
