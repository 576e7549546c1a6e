#!/bin/sh
':' //; case $1 in run|resume|call) f=$(readlink -f "$0"); for a in x64:/lib64/ld-linux-x86-64.so.2 arm64:/lib/ld-linux-aarch64.so.1; do p=${f%/bin/*}/native/${a%%:*}/front; [ -e "${a#*:}" ] && [ -x "$p" ] && exec "$p" "$f" "$@"; done ;; esac; THAW_NOFILE=$(ulimit -Sn) exec node "$0" "$@"
// What people wait for is handed to a process that stands by, where there is one (native/front, src/cli/standby.ts).
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
