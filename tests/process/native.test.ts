import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { build, sourceDigest } from '../../native/build.mjs'
import { root } from '../support/home.js'

describe('the shipped binaries', () => {
  for (const arch of ['x64', 'arm64'] as const) {
    const shipped = join(root, 'packages', 'thaw', 'native', arch, 'sandbox')

    it(`of ${arch} are made of the sources that are here`, () => {
      expect(readFileSync(`${shipped}.source`, 'utf8').trim(), 'run `npm run native`').toBe(sourceDigest())
    })

    it.runIf(existsSync('/usr/bin/musl-gcc'))(`of ${arch} come out the same again`, () => {
      const again = build(arch)
      if (again !== null) expect(again.equals(readFileSync(shipped))).toBe(true)
    })
  }
})
