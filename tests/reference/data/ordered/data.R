set.seed(42); n <- 800
x1 <- rnorm(n); x2 <- rbinom(n,1,.5); x3 <- rnorm(n)
f1 <- .5*x1+.3*x2+rnorm(n,sd=.8); f2 <- .6*f1+.2*x3+rnorm(n,sd=.7)
mk <- function(f,l) l*f+rnorm(n,sd=sqrt(1-l^2))
cut5 <- function(y,t) findInterval(y,t)+1
d <- data.frame(x1=round(x1,4),x2=x2,x3=round(x3,4))
L <- c(.8,.7,.6,.75)
for(i in 1:4) d[[paste0('u',i)]] <- cut5(mk(f1,L[i]), sort(c(-1,-.2,.5,1.2)+rnorm(1,sd=.2)))
for(i in 1:4) d[[paste0('b',i)]] <- as.integer(mk(f2,L[i])>.2*i-.3)
for(i in 1:4) d[[paste0('y',i)]] <- round(2*mk(f2,L[i])+i,4)
d$c1 <- cut5(.4*f2+.3*x1+rnorm(n), c(-.5,.6))
d$g <- ifelse(runif(n)<.45,'B','A'); d$w <- round(runif(n,.5,2),3)
tt <- .0+rnorm(n,sd=.8); sl <- .25+rnorm(n,sd=.3)
for(i in 1:4) d[[paste0('t',i)]] <- as.integer(tt+(i-1)*sl+rnorm(n)>.3)
write.csv(d,'d.csv',row.names=FALSE)
m <- d; for(v in c('u1','u2','u3','u4','b1','b2','y1')) m[[v]][runif(n)<.1] <- NA
write.csv(m,'m.csv',row.names=FALSE)
