/** docs/comparison.md from one set of results. */
export function document({ file, started_at, versions, load, rows }) {
  const edits = rows.slice(1)
  const right = (part, way) => edits.filter((row) => row[part][way]?.right).length
  const ipython = versions.ipython === null ? 'not installed' : versions.ipython
  return (
    [
      '# Compared with other ways to see what an edit does',
      '',
      'Written by `node bench/comparison/run.mjs`; do not edit. One [program](../bench/comparison/program) of half a dozen modules (module state, a registry filled by a decorator, a memo, a class, a constant imported by name, a data file, a pytest suite) and [ten edits](../bench/comparison/edits.mjs), each made on top of those before. The answer is right when it is, byte for byte, what a new process of plain Python prints for the edited program.',
      '',
      `Python ${versions.python}, pytest ${versions.pytest}, IPython ${ipython}; load average ${load[0]} before and ${load[1]} after, one run each, so single times are noisy. Raw results: [\`bench/results/${file}\`](../bench/results/${file}), ${started_at}.`,
      '',
      '## The program',
      '',
      `\`python main.py\` cold and under thaw, start to exit; \`main.main()\` called again in a session that has \`%autoreload 2\`; after a wrong answer the session is restarted, which is not counted. Right after ${edits.length} edits: thaw ${right('program', 'thaw')}, autoreload ${versions.ipython === null ? 'not run here' : right('program', 'autoreload')}.`,
      '',
      ...table(
        ['edit', 'cold', 'thaw', '', 'autoreload', ''],
        rows.map(({ what, program: { cold, thaw, autoreload } }) => [
          what,
          seconds(cold),
          seconds(thaw),
          judged(thaw, cold, thaw.outcome),
          autoreload ? seconds(autoreload) : '',
          autoreload ? judged(autoreload, cold) : 'not run here',
        ]),
      ),
      '',
      '## The test suite',
      '',
      `\`python -m pytest\` cold and under thaw. Right after ${edits.length} edits: thaw ${right('suite', 'thaw')}. The edits break some tests; the answer is right when the same fail with the same words.`,
      '',
      ...table(
        ['edit', 'last line of the cold run', 'cold', 'thaw', ''],
        rows.map(({ what, suite: { cold, thaw } }) => [
          what,
          cold.text
            .trimEnd()
            .split('\n')
            .at(-1)
            .replaceAll(/^=+ | =+$| in TIME/g, ''),
          seconds(cold),
          seconds(thaw),
          judged(thaw, cold, thaw.outcome),
        ]),
      ),
      '',
      MODELS,
    ].join('\n') + '\n'
  )
}

const MODELS = `## What each does

| | what stays between runs | what an edit does | when the answer is not that of a cold run |
|---|---|---|---|
| a cold run | nothing | everything runs again | never |
| thaw | parked copies of the process at earlier moments, and the record of the output | goes on from the last copy that the edit cannot have influenced | [limits](limits.md): clocks, entropy, process ids, what native code reads unseen |
| \`%autoreload 2\` | the process, with all its objects | before the next cell, changed modules run again in their old namespace; functions and classes that the module had before are updated in place | what had been computed, registered, decorated or imported by name before stays; data that a module keeps stays |
| jurigged (not run here, described from its documentation) | the process | a watcher replaces the code of changed functions in the live process, instances included, and runs a module's changed lines again; nothing that has finished runs again by itself, unless one function is named that is to run at every save (\`--loop\`) | as for autoreload: results of old code stay, until the program calls the function again |
| reloadium (not run here, described from general knowledge; its core is a closed binary) | the process | reloads changed functions, and re-enters the running frame of an edited function from its start | effects of the frame's first pass are not undone, apart from those of the libraries that it knows |
| pytest-testmon (not run here, described from its documentation) | a database of which test ran which blocks of code | runs the tests that ran an edited block, each from the start of a new process | the answer is about the selected tests only; dependencies other than Python code (data files, environment, services) are not tracked |

jurigged, reloadium and pytest-testmon could not be installed where this page was made: nothing about their times or answers was measured. What jurigged leaves behind after an edit is what \`thaw resume --hot\` leaves behind, on purpose: the state of the old code under the new one.

## Where the others are better

- **jurigged** and **reloadium** change a program that is meant to go on: a server keeps its connections, a game its window, a session hours of state. thaw's \`resume --hot\` keeps state too, but in a copy that starts from a checkpoint. They work with threads, sockets and on systems other than Linux; thaw takes no checkpoints there.
- **autoreload** needs nothing but the notebook, and costs nothing where an edit is to be tried on objects that are at hand. What it computes anew is only what the user asks for.
- **pytest-testmon** needs no daemon and no memory between runs, its database can be shared with CI, and it skips tests on any platform and interpreter that coverage works on. It also skips tests *before* the edited one's place and *after* it, where thaw runs everything after the first test that the edit reaches.
- **a cold run** is the measure of all of them, and the fastest of all for programs of a few tenths of a second.`

const seconds = (one) => `${one.seconds.toFixed(2)} s`

function judged(one, cold, outcome) {
  const how = outcome === undefined ? '' : `, ${outcome}`
  if (one.right) return `right${how}`
  const ours = one.text.split('\n')
  const theirs = cold.text.split('\n')
  const at = ours.findIndex((line, index) => line !== theirs[index])
  const show = (lines) => `\`${(lines[at] ?? '').replaceAll(/ +/g, ' ').slice(0, 70)}\``
  return `**wrong**${how}: ${show(ours)} instead of ${show(theirs)}`
}

function table(head, rows) {
  const line = (cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)]
}
