import { Image, ImageDefinition, ImageList, NameParams, UploadQuery } from '@thaw/protocol'
import { tooLarge } from '../snapshots/images/upload.js'
import { openScope } from '../system/index.js'
import { callerSignal } from './caller.js'
import { bytesOf } from './bytes.js'
import type { ApiContext } from './context.js'
import type { Routes } from './server.js'

const tags = ['images']

export function imageRoutes(app: Routes, context: ApiContext): void {
  const { products } = context

  app.get(
    '/v1/images',
    {
      schema: {
        tags,
        operationId: 'listImages',
        summary: 'All images, the newest first',
        response: { 200: ImageList },
      },
    },
    () => {
      const images = products.images.list()
      return { images, items: images }
    },
  )

  app.post(
    '/v1/images',
    {
      schema: {
        tags,
        operationId: 'createImage',
        summary: 'Make an image: a command in a directory, or a root file system that is imported',
        description: 'An import takes its time. It is given up when the caller goes away.',
        body: ImageDefinition,
        response: { 201: Image },
      },
    },
    async (request, reply) => {
      const scope = openScope(context.log, callerSignal(reply))
      const image = await products.images.create(request.body, scope)
      return reply
        .status(201)
        .header('location', `/v1/images/${encodeURIComponent(image.name)}`)
        .send(image)
    },
  )

  app.post(
    '/v1/images/archive',
    {
      schema: {
        tags,
        operationId: 'uploadImage',
        summary: 'Make an image of an archive that is sent: tar, OCI layout, or of docker save',
        description:
          'The archive is the body, as application/octet-stream; it may be compressed (.gz, .zst). What breaks off leaves nothing.',
        querystring: UploadQuery,
        response: { 201: Image },
      },
    },
    async (request, reply) => {
      const { definition, sha256 } = request.query
      const most = context.settings.upload_limit
      if (Number(request.headers['content-length'] ?? 0) > most) throw tooLarge(most)
      const scope = openScope(context.log, callerSignal(reply))
      const image = await products.images.upload(definition, bytesOf(request.body), { most, sha256 }, scope)
      return reply
        .status(201)
        .header('location', `/v1/images/${encodeURIComponent(image.name)}`)
        .send(image)
    },
  )

  app.get(
    '/v1/images/:id',
    {
      schema: {
        tags,
        operationId: 'getImage',
        summary: 'One image, by name or id',
        params: NameParams,
        response: { 200: Image },
      },
    },
    (request) => products.images.get(request.params.id),
  )

  app.delete(
    '/v1/images/:id',
    {
      schema: {
        tags,
        operationId: 'removeImage',
        summary: 'Remove an image that nothing lives on',
        params: NameParams,
        response: { 200: Image },
      },
    },
    (request) => products.removeImage(request.params.id),
  )
}
