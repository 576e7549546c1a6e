import { expect, it } from 'vitest'
import { findUser } from './users.js'

const PASSWD = 'root:x:0:0:root:/root:/bin/sh\nredis:x:101:102::/var/lib/redis:/bin/false\n'
const GROUP = 'root:x:0:\nweb:x:33:redis\n'

it('finds users and groups by name and number', () => {
  expect(findUser('redis', PASSWD, GROUP)).toEqual({ uid: 101, gid: 102, home: '/var/lib/redis' })
  expect(findUser('101', PASSWD, GROUP)).toEqual({ uid: 101, gid: 102, home: '/var/lib/redis' })
  expect(findUser('redis:web', PASSWD, GROUP)).toMatchObject({ uid: 101, gid: 33 })
  expect(findUser('7:8', '', '')).toEqual({ uid: 7, gid: 8, home: null })
  expect(findUser('7', '', '')).toEqual({ uid: 7, gid: 0, home: null })
})

it('refuses names that are not there', () => {
  for (const name of ['nobody', 'redis:none', 'nobody:33']) {
    expect(() => findUser(name, PASSWD, GROUP), name).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST' }),
    )
  }
})
