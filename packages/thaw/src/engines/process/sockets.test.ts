import { createServer, connect, type AddressInfo } from 'node:net'
import { expect, it } from 'vitest'
import { findOutside, readSockets } from './sockets.js'

it.each(['127.0.0.1', '::1'])('tells connections within from those that leave, on %s', async (host) => {
  const server = createServer().listen(0, host)
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  const client = connect(port, host)
  await new Promise((resolve) => server.once('connection', resolve))
  const all = [...readSockets(process.pid).values()]
  const ours = all.filter(({ local, remote }) => `${local} ${remote}`.includes(`:${port}`))
  expect(ours.filter(({ established }) => established)).toHaveLength(2)
  expect(findOutside(ours, false)).toBeNull()
  const half = ours.filter(({ remote }) => remote.endsWith(`:${port}`))
  expect(findOutside(half, false)).toMatchObject({ remote: `${host === '::1' ? '[::1]' : host}:${port}` })
  // In a network of its own the loopback interface leads nowhere else.
  expect(findOutside(half, true)).toBeNull()
  client.destroy()
  server.close()
})
