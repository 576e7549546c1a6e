/** docs/benchmarks.md from one set of results. */
export function document(results) {
  const { machine } = results
  const rows = results.cases.map((one) => [
    one.what,
    `${number(one.target, one.unit)}`,
    one.error === undefined ? number(one.value, one.unit) : '—',
    verdict(one),
    one.error === undefined ? (one.note ?? '') : `failed: ${one.error.split('\n')[0]}`,
  ])
  return [
    '# Benchmarks',
    '',
    'Written by `npm run bench`; do not edit. Ratios of one run on one machine, since machines differ: every ratio compares medians of runs that took turns. The programs are in `bench/programs`, the measurements in `bench/cases`.',
    '',
    `Raw results: [\`bench/results/${results.file}\`](../bench/results/${results.file}), ${results.rounds} rounds, ${results.started_at}.`,
    `Machine: ${machine.cpu}, ${machine.cores} cores, ${machine.memory_gb} GB, Linux ${machine.kernel}, Node ${machine.node}, Python ${machine.python}; load average ${machine.load_before} before and ${machine.load_after} after.`,
    '',
    ...table(['what', 'at most', 'measured', '', 'remarks'], rows),
    '',
  ].join('\n')
}

export function verdict(one) {
  if (one.error !== undefined) return 'not measured'
  const allowed = one.target * (1 + (one.tolerance ?? 0))
  if (one.value <= allowed) return 'met'
  return `missed by ${one.unit === 'x' ? `${(100 * (one.value / one.target - 1)).toFixed(0)} %` : `${(one.value - one.target).toFixed(0)} ${one.unit}`}`
}

export function number(value, unit) {
  return unit === 'x' ? `${value.toFixed(2)} x` : `${value.toFixed(0)} ${unit}`
}

function table(head, rows) {
  const line = (cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)]
}
