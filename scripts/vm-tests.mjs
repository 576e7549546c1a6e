// `npm run vm-tests`: every way in which machines fail, some ten minutes under emulation. Arguments go to vitest.
import { build, install, run, tool } from './workspace.mjs'

install()
build()
run(tool('vitest'), ['run', '--config', 'vitest.slow.config.ts', ...process.argv.slice(2)])
