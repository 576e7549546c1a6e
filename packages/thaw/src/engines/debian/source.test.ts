import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { findSource } from './source.js'

let apt: string
beforeEach(() => {
  apt = mkdtempSync(join(tmpdir(), 'thaw-apt-'))
  mkdirSync(join(apt, 'sources.list.d'))
})
afterEach(() => rmSync(apt, { recursive: true }))

it('takes the mirror and the keys of the stanza for the archive, not those of others', () => {
  writeFileSync(
    join(apt, 'sources.list.d', 'debian.sources'),
    `Types: deb
URIs: http://deb.debian.org/debian-security
Suites: bookworm-security
Components: main
Signed-By: /security.gpg

Types: deb
# a remark
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /archive.gpg
`,
  )
  expect(findSource(apt, 'sid')).toEqual({
    format: 'sources',
    text: 'Types: deb\nURIs: http://mirror.example/debian\nSuites: sid\nComponents: main\nSigned-By: /archive.gpg\n',
  })
})

it('takes a line of the older form', () => {
  writeFileSync(
    join(apt, 'sources.list'),
    `# deb http://off.example/debian x main
deb [arch=amd64 signed-by=/k.gpg] https://mirror.example/debian/ trixie main non-free
`,
  )
  expect(findSource(apt, 'sid')).toEqual({
    format: 'list',
    text: 'deb [signed-by=/k.gpg] https://mirror.example/debian/ sid main\n',
  })
})

it('finds none where Debian is no source', () => {
  writeFileSync(
    join(apt, 'sources.list.d', 'x.list'),
    'deb https://deb.nodesource.com/node_20.x nodistro main\n',
  )
  writeFileSync(
    join(apt, 'sources.list.d', 'off.sources'),
    'Types: deb\nURIs: http://a.example/debian\nEnabled: no\n',
  )
  expect(findSource(apt, 'sid')).toBeNull()
})
