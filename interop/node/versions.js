'use strict'

// Which versions of the packages the tests ran against.

const express = require('express')
const { dependencies } = require('./package.json')

const version = (name) => require(`./node_modules/${name}/package.json`).version

const app = express()
app.get('/', (req, res) => {
  res.json(Object.fromEntries(Object.keys(dependencies).map((name) => [name, version(name)])))
})
app.listen(Number(process.env.PORT), '127.0.0.1')
