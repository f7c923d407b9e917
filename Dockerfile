# The application: Debian's Python, PyPI's packages as requirements/app.lock pins them. Needs no BuildKit.
FROM debian:trixie-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY requirements/app.lock /tmp/app.lock
RUN python3 -m venv /opt/exchange \
    && /opt/exchange/bin/pip install --no-cache-dir --only-binary :all: --require-hashes --requirement /tmp/app.lock \
    && /opt/exchange/bin/pip uninstall --yes pip
COPY app /app
WORKDIR /app
# collectstatic needs settings, none of which end up in the image.
RUN env SECRET_KEY=only-for-collectstatic-only-for-collectstatic-only-for \
        ALLOWED_HOSTS=localhost DATABASE_HOST=localhost DATABASE_NAME=none DATABASE_USER=none DATABASE_PASSWORD=none \
        DATABASE_SSLMODE=disable \
        /opt/exchange/bin/python manage.py collectstatic --noinput --verbosity 0 \
    && /opt/exchange/bin/python -m compileall -q /app \
    && install --directory --owner=10001 --group=10001 --mode=0750 /app/media

FROM debian:trixie-slim
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="CryptoCurrencyExchange" \
      org.opencontainers.image.description="A small exchange whose books always balance" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/*.log /var/log/apt \
       /usr/share/doc/* /usr/share/man/* /usr/share/locale/* \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && groupadd --gid 10001 exchange \
    && useradd --uid 10001 --gid 10001 --home-dir /app --no-create-home --shell /usr/sbin/nologin exchange
COPY --from=build /opt/exchange /opt/exchange
COPY --from=build /app /app
ENV PATH=/opt/exchange/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /app
EXPOSE 8000 9090
# gunicorn reaps its workers and passes signals on, so no other init is needed.
CMD ["gunicorn", "--config", "gunicorn.conf.py"]
