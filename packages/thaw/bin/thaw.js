#!/bin/sh
':' //; THAW_NOFILE=$(ulimit -Sn) exec node "$0" "$@"
// Node raises its own limit on open files when it starts; the program that thaw runs is to have the caller's.
// Committed, because npm links only files that exist when it installs; the program itself is built.
try {
  await import('../dist/cli.js')
} catch (error) {
  const built = error?.code !== 'ERR_MODULE_NOT_FOUND' || !String(error.message).includes('dist/cli.js')
  if (built) throw error
  process.stderr.write(
    'thaw: NOT_BUILT: This clone has not been built. Run `npm run build` in it (or `npm start`, which also shows what thaw does).\n',
  )
  process.exitCode = 125
}
