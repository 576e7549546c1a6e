// `npm run check`: types, lint, format, import boundaries, generated files up to date. All are run, then judged.
import { attempt, install, tool } from './workspace.mjs'

install()
const checks = {
  types: [tool('tsc'), ['-p', '.']],
  lint: [tool('oxlint'), ['--deny-warnings']],
  format: [tool('prettier'), ['--check', '--log-level', 'warn', '.']],
  boundaries: [tool('depcruise'), ['--config', '.dependency-cruiser.cjs', 'packages', 'tests']],
  generated: [process.execPath, ['scripts/generate.mjs', '--check']],
}
const failed = Object.entries(checks)
  .filter(([, [command, args]]) => attempt(command, args) !== 0)
  .map(([name]) => name)
if (failed.length > 0) {
  console.error(`check failed: ${failed.join(', ')}`)
  process.exit(1)
}
console.error('check passed: types, lint, format, boundaries, generated files')
