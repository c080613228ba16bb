#!/bin/sh
echo "{\"web\": "
