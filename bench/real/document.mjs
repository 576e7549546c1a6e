/** docs/real-projects.md from the results of one or several runs. */
export function document(parts) {
  const projects = parts.flatMap((part) => part.projects)
  const ran = projects.filter(({ steps }) => steps.length > 0)
  const edits = ran.flatMap(({ steps }) => steps.slice(1))
  const count = (test) => edits.filter(test).length
  const saved = count(({ report }) => ['resumed', 'replayed'].includes(report?.outcome))
  const lines = [
    '# Real projects',
    '',
    'Written by `npm run real`; do not edit. Projects that nobody here wrote, from packages of Debian 12: their own test suites and tools, run under thaw, edited in the middle, and run again; beside them a second directory that goes through the same edits, in which plain Python runs the same command cold. Compared after every edit: stdout, stderr, exit code, and every file. Projects and edits are in [`bench/real/projects`](../bench/real/projects); the rules of the comparison are those of the [exactness test](../tests/exactness/README.md). Seconds are from start to exit, one run each.',
    '',
    ...parts.map(
      ({ file, started_at, machine }) =>
        `Raw results: [\`bench/results/${file}\`](../bench/results/${file}), ${started_at}. Machine: ${machine.cores} cores, Node ${machine.node}, Python ${machine.python}; load average ${machine.load[0]} before and ${machine.load[1]} after, so single times are noisy.`,
    ),
    '',
    `After ${edits.length} steps of ${ran.length} projects (their edits, and for each a run with nothing changed): ${count(({ verdict }) => verdict === 'equal')} equal, ${count(({ verdict }) => verdict === 'different')} different, ${count(({ verdict }) => !['equal', 'different'].includes(verdict))} of other verdicts; ${saved} resumed or replayed. All edits together took ${total(edits, 'thawSeconds')} s under thaw, ${total(edits, 'coldSeconds')} s cold.`,
    '',
    ...table(
      ['project', 'what runs', 'edits', 'equal', 'resumed or replayed', 'under thaw', 'cold', 'ratio'],
      ran.map(summary),
    ),
  ]
  for (const { name, error } of projects) if (error) lines.push('', `Not run: ${name}: ${error}`)
  for (const project of ran) lines.push(...section(project))
  lines.push('', ...READING)
  return lines.join('\n') + '\n'
}

function summary({ name, about, steps }) {
  const edits = steps.slice(1)
  const thaw = sum(edits, 'thawSeconds')
  const cold = sum(edits, 'coldSeconds')
  return [
    name,
    about,
    String(edits.length),
    String(edits.filter(({ verdict }) => verdict === 'equal').length),
    String(edits.filter(({ report }) => ['resumed', 'replayed'].includes(report?.outcome)).length),
    `${thaw.toFixed(1)} s`,
    `${cold.toFixed(1)} s`,
    (thaw / cold).toFixed(2),
  ]
}

function section({ name, versions, arguments: argv, steps }) {
  const rows = steps.map(({ what, verdict, report, thawSeconds, coldSeconds }, index) => [
    index === 0 ? 'first run' : what,
    verdict,
    report?.outcome ?? '',
    placeOf(report),
    thawSeconds.toFixed(2),
    coldSeconds.toFixed(2),
  ])
  return [
    '',
    `## ${name}`,
    '',
    `${versions.map((version) => `\`${version}\``).join(', ')}: \`thaw run python ${argv.join(' ')}\``,
    '',
    ...table(
      ['edit', 'compared', 'outcome', 'from where, and what held it back', 'thaw (s)', 'cold (s)'],
      rows,
    ),
  ]
}

function placeOf(report) {
  const at = report?.checkpoint
  const place = at ? `before ${at.before} (${at.file.split('/').pop()}:${at.line})` : ''
  return [place, report?.reason].filter(Boolean).join('; ')
}

const sum = (steps, key) => steps.reduce((all, step) => all + step[key], 0)
const total = (steps, key) => sum(steps, key).toFixed(0)

function table(head, rows) {
  const line = (cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)]
}

const READING = [
  '## What the figures say',
  '',
  '- Where an edit is first used late, only the rest runs; a comment, or code that never ran, costs a replay. Where it is first used early, nearly everything runs again, and such runs were mostly slower than plain ones here, up to about three times; why was not profiled. It counts as resumed all the same, so the share of resumed runs alone says little.',
  '- Held back on purpose: a helper or parameter that comes into module code while the program looks through namespaces (`inspect.getmembers`, `vars`, pytest and unittest collecting), a method in a class that libraries ask for such a name, and inputs that are read at the start.',
]
