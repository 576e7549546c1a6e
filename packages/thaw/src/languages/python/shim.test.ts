import { describe, expect, it } from 'vitest'
import { parseShim } from './shim.js'

const PYENV = `#!/usr/bin/env bash
set -e
[ -n "$PYENV_DEBUG" ] && set -x

program="\${0##*/}"

export PYENV_ROOT="/home/a b/.pyenv"
SHIM_PATH=\${0%/*}
if [[ $SHIM_PATH != "/home/a b/.pyenv/shims" ]]; then
  export _PYENV_SHIM_PATH="$SHIM_PATH"
fi
exec "/home/a b/.pyenv/libexec/pyenv" exec "$program" "$@"
`

const OLDER_ASDF = `#!/usr/bin/env bash
# asdf-plugin: python 3.11.9
# asdf-plugin: python 3.12.4
exec /home/a/.asdf/bin/asdf exec "black" "$@" # asdf_allow: ' asdf '
`

const ASDF = `#!/usr/bin/env bash
# asdf-plugin: python 3.11.9
exec asdf exec "black" "$@"
`

describe('parseShim', () => {
  it.each([
    ['pyenv', PYENV, { manager: '/home/a b/.pyenv/libexec/pyenv', program: null, root: '/home/a b/.pyenv' }],
    ['asdf', ASDF, { manager: 'asdf', program: 'black', root: null }],
    ['asdf before its 0.16', OLDER_ASDF, { manager: '/home/a/.asdf/bin/asdf', program: 'black', root: null }],
  ])('knows what %s writes', (_name, text, expected) => {
    expect(parseShim(text)).toEqual(expected)
  })

  it.each([
    ['a plain script', '#!/usr/bin/env bash\nset -e\necho "$@"\n'],
    ['a script that starts another', '#!/bin/sh\nexec /usr/bin/env "$@"\n'],
    ['a shim with settings of its own', PYENV.replace('set -e', 'export DEBUG=1')],
    ['a shim with work of its own', ASDF.replace('exec', 'cd /srv\nexec')],
    ['a shim with an argument of its own', ASDF.replace('"$@"', '--fast "$@"')],
    ['a shim that something follows', `${PYENV}echo done\n`],
    ['a Python script', ASDF.replace('bash', 'python3')],
    ['a binary', '\x7fELF'],
    ['an empty file', ''],
  ])('refuses %s', (_name, text) => {
    expect(parseShim(text)).toBeNull()
  })
})
