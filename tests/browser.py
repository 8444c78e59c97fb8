"""A browser without script."""

import html
import re
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar


class Browser:
    """Follows redirects, keeps cookies, and sends a form with its hidden fields."""

    def __init__(self, base):
        self.base = base
        self.cookies = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def open(self, path, data=None, **headers):
        request = urllib.request.Request(self.base + path, data, headers)
        try:
            with self._opener.open(request, timeout=10) as response:
                return response.status, response.geturl().removeprefix(self.base), response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, path, error.read().decode()

    def send(self, path, text, headers=None, **fields):
        hidden = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', text)
        form = {**{name: html.unescape(value) for name, value in hidden}, **fields}
        return self.open(path, urllib.parse.urlencode(form).encode(), **(headers or {}))
