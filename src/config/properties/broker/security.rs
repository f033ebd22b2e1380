//! Broker properties about authentication, authorization and encryption.

use crate::config::properties::{Property, Valid};
use Valid::{Any, AtLeast, Between, OneOf, OneOfIgnoringCase};

pub(super) const ALL: &[Property] = &properties! {
    "authorizer.class.name": String = "", Any, ReadOnly, NoMeaning,
        "The Java class that decides who may do what.";
    "delegation.token.expiry.check.interval.ms": Long = "3600000", AtLeast(1), ReadOnly, NoMeaning,
        "How often expired delegation tokens are removed.";
    "delegation.token.expiry.time.ms": Long = "86400000", AtLeast(1), ReadOnly, NoMeaning,
        "How long a delegation token is valid before it must be renewed.";
    "delegation.token.max.lifetime.ms": Long = "604800000", AtLeast(1), ReadOnly, NoMeaning,
        "How long a delegation token can be renewed.";
    "delegation.token.secret.key": Password = null, Any, ReadOnly, NoMeaning,
        "The key that delegation tokens are made and checked with.";
    "principal.builder.class": Class = "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder", Any, PerBroker, NoMeaning,
        "The Java class that turns a connection's identity into a principal.";
    "sasl.client.callback.handler.class": Class = null, Any, ReadOnly, NoMeaning,
        "The Java class that answers SASL's questions when the broker is the client.";
    "sasl.enabled.mechanisms": List = "GSSAPI", Any, PerBroker, NoMeaning,
        "The SASL mechanisms that clients may use.";
    "sasl.jaas.config": Password = null, Any, PerBroker, NoMeaning,
        "The JAAS login entry of a listener and mechanism.";
    "sasl.kerberos.kinit.cmd": String = "/usr/bin/kinit", Any, PerBroker, NoMeaning,
        "Where kinit is.";
    "sasl.kerberos.min.time.before.relogin": Long = "60000", Any, PerBroker, NoMeaning,
        "How long the Kerberos login rests between two refreshes.";
    "sasl.kerberos.principal.to.local.rules": List = "DEFAULT", Any, PerBroker, NoMeaning,
        "Rules that shorten Kerberos principals to user names.";
    "sasl.kerberos.service.name": String = null, Any, PerBroker, NoMeaning,
        "The Kerberos name of the broker's service.";
    "sasl.kerberos.ticket.renew.jitter": Double = "0.05", Any, PerBroker, NoMeaning,
        "The random part of the time at which a Kerberos ticket is renewed.";
    "sasl.kerberos.ticket.renew.window.factor": Double = "0.8", Any, PerBroker, NoMeaning,
        "After which part of its life a Kerberos ticket is renewed.";
    "sasl.login.callback.handler.class": Class = null, Any, ReadOnly, NoMeaning,
        "The Java class that answers the questions of a SASL login.";
    "sasl.login.class": Class = null, Any, ReadOnly, NoMeaning,
        "The Java class of the SASL login.";
    "sasl.login.connect.timeout.ms": Int = null, Any, ReadOnly, NoMeaning,
        "How long to wait for a connection to the OAuth provider.";
    "sasl.login.read.timeout.ms": Int = null, Any, ReadOnly, NoMeaning,
        "How long to wait for the OAuth provider's answer.";
    "sasl.login.refresh.buffer.seconds": Short = "300", Any, PerBroker, NoMeaning,
        "How long before its end an OAuth credential is refreshed at the latest.";
    "sasl.login.refresh.min.period.seconds": Short = "60", Any, PerBroker, NoMeaning,
        "How long to wait at least before an OAuth credential is refreshed.";
    "sasl.login.refresh.window.factor": Double = "0.8", Any, PerBroker, NoMeaning,
        "After which part of its life an OAuth credential is refreshed.";
    "sasl.login.refresh.window.jitter": Double = "0.05", Any, PerBroker, NoMeaning,
        "The random part of the time at which an OAuth credential is refreshed.";
    "sasl.login.retry.backoff.max.ms": Long = "10000", Any, ReadOnly, NoMeaning,
        "The longest wait between two tries to log in at the OAuth provider.";
    "sasl.login.retry.backoff.ms": Long = "100", Any, ReadOnly, NoMeaning,
        "The first wait between two tries to log in at the OAuth provider.";
    "sasl.mechanism.controller.protocol": String = "GSSAPI", Any, ReadOnly, NoMeaning,
        "The SASL mechanism towards controllers.";
    "sasl.mechanism.inter.broker.protocol": String = "GSSAPI", Any, PerBroker, NoMeaning,
        "The SASL mechanism between brokers.";
    "sasl.oauthbearer.assertion.algorithm": String = "RS256", OneOfIgnoringCase(&["ES256", "RS256"]), ReadOnly, NoMeaning,
        "The algorithm that OAuth assertions are signed with.";
    "sasl.oauthbearer.assertion.claim.aud": String = null, Any, ReadOnly, NoMeaning,
        "The audience that OAuth assertions name.";
    "sasl.oauthbearer.assertion.claim.exp.seconds": Int = "300", Between(0, 86_400), ReadOnly, NoMeaning,
        "For how long OAuth assertions are valid.";
    "sasl.oauthbearer.assertion.claim.iss": String = null, Any, ReadOnly, NoMeaning,
        "The issuer that OAuth assertions name.";
    "sasl.oauthbearer.assertion.claim.jti.include": Boolean = "false", Any, ReadOnly, NoMeaning,
        "Whether OAuth assertions carry an id of their own.";
    "sasl.oauthbearer.assertion.claim.nbf.seconds": Int = "60", Between(0, 3600), ReadOnly, NoMeaning,
        "From how long ago OAuth assertions are valid.";
    "sasl.oauthbearer.assertion.claim.sub": String = null, Any, ReadOnly, NoMeaning,
        "The subject that OAuth assertions name.";
    "sasl.oauthbearer.assertion.file": String = null, Any, ReadOnly, NoMeaning,
        "A file with a finished OAuth assertion.";
    "sasl.oauthbearer.assertion.private.key.file": String = null, Any, ReadOnly, NoMeaning,
        "The file with the key that OAuth assertions are signed with.";
    "sasl.oauthbearer.assertion.private.key.passphrase": Password = null, Any, ReadOnly, NoMeaning,
        "The passphrase of that key.";
    "sasl.oauthbearer.assertion.template.file": String = null, Any, ReadOnly, NoMeaning,
        "A file with fixed headers and claims of OAuth assertions.";
    "sasl.oauthbearer.client.credentials.client.id": String = null, Any, ReadOnly, NoMeaning,
        "The client id with which a token is asked from the OAuth provider.";
    "sasl.oauthbearer.client.credentials.client.secret": Password = null, Any, ReadOnly, NoMeaning,
        "The secret that belongs to that client id.";
    "sasl.oauthbearer.clock.skew.seconds": Int = "30", Any, ReadOnly, NoMeaning,
        "How far the clocks of broker and OAuth provider may differ.";
    "sasl.oauthbearer.expected.audience": List = "", Any, ReadOnly, NoMeaning,
        "The audiences of which a token must name one.";
    "sasl.oauthbearer.expected.issuer": String = null, Any, ReadOnly, NoMeaning,
        "The issuer that a token must name.";
    "sasl.oauthbearer.jwks.endpoint.refresh.ms": Long = "3600000", Any, ReadOnly, NoMeaning,
        "How often the OAuth provider's keys are fetched again.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms": Long = "10000", Any, ReadOnly, NoMeaning,
        "The longest wait between two tries to fetch those keys.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms": Long = "100", Any, ReadOnly, NoMeaning,
        "The first wait between two tries to fetch those keys.";
    "sasl.oauthbearer.jwks.endpoint.url": String = null, Any, ReadOnly, NoMeaning,
        "Where the OAuth provider's keys are.";
    "sasl.oauthbearer.jwt.retriever.class": Class = "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever", Any, ReadOnly, NoMeaning,
        "The Java class that fetches tokens.";
    "sasl.oauthbearer.jwt.validator.class": Class = "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator", Any, ReadOnly, NoMeaning,
        "The Java class that checks tokens.";
    "sasl.oauthbearer.scope": String = null, Any, ReadOnly, NoMeaning,
        "The scope that a token is asked for.";
    "sasl.oauthbearer.scope.claim.name": String = "scope", Any, ReadOnly, NoMeaning,
        "Which claim of a token holds its scope.";
    "sasl.oauthbearer.sub.claim.name": String = "sub", Any, ReadOnly, NoMeaning,
        "Which claim of a token holds its subject.";
    "sasl.oauthbearer.token.endpoint.url": String = null, Any, ReadOnly, NoMeaning,
        "Where the OAuth provider gives tokens.";
    "sasl.server.callback.handler.class": Class = null, Any, ReadOnly, NoMeaning,
        "The Java class that answers SASL's questions when the broker is the server.";
    "sasl.server.max.receive.size": Int = "524288", Any, ReadOnly, NoMeaning,
        "The largest request before authentication; here limits.request_bytes_before_auth.";
    "security.inter.broker.protocol": String = "PLAINTEXT", OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), ReadOnly, NoMeaning,
        "The security protocol between brokers.";
    "security.providers": String = null, Any, ReadOnly, NoMeaning,
        "Java classes that bring security algorithms.";
    "ssl.allow.dn.changes": Boolean = "false", Any, ReadOnly, NoMeaning,
        "Whether a certificate that is changed at run time may bear another distinguished name.";
    "ssl.allow.san.changes": Boolean = "false", Any, ReadOnly, NoMeaning,
        "Whether a certificate that is changed at run time may bear other alternative names.";
    "ssl.cipher.suites": List = "", Any, PerBroker, NoMeaning,
        "The cipher suites to offer; none named means all.";
    "ssl.client.auth": String = "none", OneOf(&["required", "requested", "none"]), PerBroker, NoMeaning,
        "Whether clients must, may or need not show a certificate.";
    "ssl.enabled.protocols": List = "TLSv1.2,TLSv1.3", Any, PerBroker, NoMeaning,
        "The versions of TLS to offer.";
    "ssl.endpoint.identification.algorithm": String = "https", Any, PerBroker, NoMeaning,
        "How a server's name is compared with its certificate.";
    "ssl.engine.factory.class": Class = null, Any, PerBroker, NoMeaning,
        "The Java class that makes TLS engines.";
    "ssl.key.password": Password = null, Any, PerBroker, NoMeaning,
        "The password of the private key.";
    "ssl.keymanager.algorithm": String = "SunX509", Any, PerBroker, NoMeaning,
        "The algorithm of Java's key managers.";
    "ssl.keystore.certificate.chain": Password = null, Any, PerBroker, NoMeaning,
        "The broker's certificates, as PEM text.";
    "ssl.keystore.key": Password = null, Any, PerBroker, NoMeaning,
        "The broker's private key, as PEM text.";
    "ssl.keystore.location": String = null, Any, PerBroker, NoMeaning,
        "The file with the broker's key and certificates.";
    "ssl.keystore.password": Password = null, Any, PerBroker, NoMeaning,
        "The password of that file.";
    "ssl.keystore.type": String = "JKS", Any, PerBroker, NoMeaning,
        "The format of that file.";
    "ssl.principal.mapping.rules": String = "DEFAULT", Any, ReadOnly, NoMeaning,
        "Rules that shorten distinguished names to user names.";
    "ssl.protocol": String = "TLSv1.3", Any, PerBroker, NoMeaning,
        "The version of TLS that connections start from.";
    "ssl.provider": String = null, Any, PerBroker, NoMeaning,
        "Java's security provider for TLS.";
    "ssl.secure.random.implementation": String = null, Any, PerBroker, NoMeaning,
        "Java's source of random numbers for TLS.";
    "ssl.trustmanager.algorithm": String = "PKIX", Any, PerBroker, NoMeaning,
        "The algorithm of Java's trust managers.";
    "ssl.truststore.certificates": Password = null, Any, PerBroker, NoMeaning,
        "The certificates to trust, as PEM text.";
    "ssl.truststore.location": String = null, Any, PerBroker, NoMeaning,
        "The file with the certificates to trust.";
    "ssl.truststore.password": Password = null, Any, PerBroker, NoMeaning,
        "The password of that file.";
    "ssl.truststore.type": String = "JKS", Any, PerBroker, NoMeaning,
        "The format of that file.";
};
