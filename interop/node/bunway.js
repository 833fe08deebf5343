'use strict'

// Signs a session id as bunWay does: HMAC-SHA256 in the URL-safe alphabet. bunWay itself is not on npm.

const { createHmac } = require('node:crypto')
const express = require('express')

const app = express()
app.get('/sign/:id', (req, res) => {
  const { id } = req.params
  const signature = createHmac('sha256', process.env.SECRET).update(id).digest('base64url')
  res.json({ value: `s:${id}.${signature}`, encoded: encodeURIComponent(`s:${id}.${signature}`) })
})
app.listen(Number(process.env.PORT), '127.0.0.1')
